//! The host interface for real: objects in a store, SQL by DuckDB, ONNX, the ledger and the prediction log.
//!
//! Start with [`RunHost`]: it is what a stage sees. It enforces the stage's grants; [`Store`] and [`SqlEngine`] alone do not.

mod attempt;
mod fetch;
mod grants;
mod ledger;
pub mod log;
pub mod nn;
mod run;
pub mod sql;

pub use attempt::{Attempt, Ran};
pub use grants::Grants;
pub use ledger::{Commit, Ledger};
pub use run::{ProgressFn, Recorded, RunHost, RunSetup};
pub use sql::{ParquetFile, SqlEngine, SqlOptions, SqlReader};
pub use tidemill_store::{BlockingStore, Bucket, Message, MessageQueue, Refusal, ServedObjects, Stamp, Stamped, Store, conformance, https};

/// Versions of what can change the bytes that a run writes: part of every run key.
pub const ENGINES: &str = "duckdb 1.5.6, parquet 58.4, tidemill-format 1";
