//! The host interface for real: objects in a store, SQL by DuckDB, and the ledger.
//!
//! Start with [`RunHost`]: it is what a stage sees. It enforces the stage's grants; [`Store`] and [`SqlEngine`] alone do not.

mod fetch;
mod parallel;
mod run;
pub mod sql;

pub use run::{ProgressFn, RunHost, RunSetup, Runner, Usage};
pub use sql::{ParquetFile, SqlEngine, SqlOptions, SqlReader};
// What these take and return.
pub use tidemill_run::{AccessLog, Attempt, Grants};
pub use tidemill_store::Store;
