//! Tidemill's vocabulary: stages and their host, events and outcomes, the pipeline that `tidemill.toml` describes,
//! and the records that stages leave for each other. No I/O; builds for WebAssembly.
//!
//! Start with [`Stage`]: everything else is what a stage is given, what it returns, or where that goes.

mod column_values;
mod convert;
mod digest;
mod error;
pub mod gate;
pub mod ingest;
pub mod layout;
pub mod notification;
mod outcome;
pub mod pipeline;
pub mod project;
pub mod record;
pub mod secret;
pub mod spec;
pub mod sql;
mod stage;
pub mod text;
pub mod time;

pub use column_values::ColumnValues;
pub use digest::{Digest, Hasher, digest_json, run_key, trigger_id};
pub use error::{Error, ErrorKind, Result};
pub use outcome::{Decision, Finding, Outcome, Severity};
pub use stage::{
    Batches, ExportedFile, FetchResponse, Format, Host, Level, ObjectMeta, Objects, ObjectsExt, PutResult, RunContext, Sql, Stage, Table,
    Trigger,
};
