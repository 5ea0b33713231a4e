//! One run of a stage, wherever it is made (in the flow, in a Lambda function, in a component on Spin): what causes it ([`caused`]),
//! what it may touch ([`Granted`]), and the one outcome that is committed for its trigger ([`Ledger`]).
//!
//! Whoever runs a stage goes through an [`Attempt`]: a run then has the same key, and its outcome the same bytes, everywhere.

mod attempt;
mod caused;
mod dead;
mod fetch;
mod granted;
mod grants;
mod ledger;
mod pending;

pub use attempt::{Attempt, Ran};
pub use caused::{Caused, caused, is_ignored, new_key};
pub use dead::{DeadLetter, write_letter};
pub use fetch::{LARGEST_FETCH, fetch, too_large};
pub use granted::{Granted, Recorded};
pub use grants::Grants;
pub use ledger::{Commit, Ledger};
pub use pending::{Came, Met, Pending, identify};

/// Versions of what can change the bytes that a run writes: part of every run key.
pub const ENGINES: &str = "duckdb 1.5.6, parquet 58.4, tidemill-format 1";
