//! The host interface for real: objects in a store, SQL by DuckDB, ONNX and the ledger.
//!
//! Start with [`RunHost`]: it is what a stage sees. It enforces the stage's grants; [`Store`] and [`SqlEngine`] alone do not.

mod fetch;
pub mod nn;
mod parallel;
mod run;
mod runner;
pub mod sql;

pub use run::{ProgressFn, RunHost, RunSetup};
pub use runner::{Runner, Usage};
pub use sql::{ParquetFile, SqlEngine, SqlOptions, SqlReader};
pub use tidemill_run::{
    AccessLog, Admission, Attempt, Commit, DeadLetter, Delivery, Disposition, ENGINES, Grants, Ledger, RunReport, ScopedObjects,
    TriggerRef, created_key, identify_object, resolve_triggers, write_dead_letter,
};
pub use tidemill_store::{
    BlockingStore, Bucket, ChangeToken, ListedObject, Message, MessageQueue, ObjectDigest, ReadError, ServingView, Store, conformance,
    https_connector,
};
