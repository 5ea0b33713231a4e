//! The host interface of stages: objects in a store, SQL by DuckDB, and HTTP GET to granted hosts.
//!
//! Start with [`RunHost`]: it is what a stage sees. It enforces the stage's grants and records every access; [`Store`] and [`SqlEngine`]
//! alone do neither.

mod fetch;
mod parallel;
mod run;
mod secrets;
pub mod sql;

pub use run::{ProgressFn, RunHost, RunSetup, Runner, Usage};
pub use sql::{ParquetFile, PlanError, SQL_WORKER, SqlChildren, SqlEngine, SqlOptions, SqlReader, TableShape, run_sql_worker};
// What these take and return.
pub use tidemill_run::{AccessLog, Attempt, Grants};
pub use tidemill_store::Store;
