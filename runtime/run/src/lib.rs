//! One run of a stage, wherever it is made (in the flow, in a Lambda function, in a component on Spin): what causes it ([`caused`]),
//! what it may touch ([`Granted`]), and the one outcome that is committed for its trigger ([`Ledger`]).
//!
//! Whoever runs a stage goes through an [`Attempt`]: a run then has the same key, and its outcome the same bytes, everywhere.

mod attempt;
mod dead_letters;
mod delivery;
mod fetch;
mod grants;
mod ledger;
mod scoped_objects;
mod triggers;

pub use attempt::{Attempt, RunReport};
pub use dead_letters::{DeadLetter, write_dead_letter};
pub use delivery::{Admission, Delivery, Disposition, identify_object};
pub use fetch::{MAX_FETCH_BYTES, fetch, response_too_large};
pub use grants::Grants;
pub use ledger::{Commit, Ledger};
pub use scoped_objects::{AccessLog, ScopedObjects};
pub use triggers::{TriggerRef, created_key, is_ignored, resolve_triggers};

/// Versions of what can change the bytes that a run writes: part of every run key.
pub const ENGINES: &str = "duckdb 1.5.6, parquet 58.4, tidemill-format 1";
