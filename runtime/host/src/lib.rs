//! The host interface for real: objects in a store, SQL by DuckDB, ONNX, the ledger and the prediction log.
//!
//! Start with [`RunHost`]: it is what a stage sees. It enforces the stage's grants; [`Store`] and [`SqlEngine`] alone do not.

mod at_once;
mod fetch;
pub mod log;
pub mod nn;
mod run;
pub mod sql;

pub use run::{ProgressFn, RunHost, RunSetup};
pub use sql::{ParquetFile, SqlEngine, SqlOptions, SqlReader};
pub use tidemill_run::{
    Attempt, Came, Caused, Commit, DeadLetter, ENGINES, Granted, Grants, Ledger, Met, Pending, Ran, Recorded, caused, identify, is_ignored,
    new_key, write_letter,
};
pub use tidemill_store::{
    BlockingStore, Bucket, Digested, Message, MessageQueue, Refusal, ServedObjects, Stamp, Stamped, Store, conformance, https,
};
