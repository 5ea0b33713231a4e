//! The prediction log's objects: what a batch of predictions is, its Parquet, and the log that writes it before a request is answered.
//! An id may stand in the log twice (a client asked again): readers take each id once.

mod batch;
mod direct;
mod record;
mod segment;
mod summary;
mod table;
#[cfg(test)]
mod tests;

use tidemill_core::Digest;

pub use batch::{Batch, Values};
pub use direct::DirectLog;
pub use segment::{Segment, build_segments};
pub use summary::summarize_window;
pub use tidemill_core::{
    pipeline::deployment::{LoggedModel, ServingConfig},
    record::WindowSummary,
};

/// A name for the `count`-th file or object that this process writes for `place`: names sort by time, and no two are the same.
pub fn unique_name(place: &str, count: u64) -> String {
    use std::hash::{BuildHasher, RandomState};
    let micros = jiff::Timestamp::now().as_microsecond().unsigned_abs();
    let random = RandomState::new().hash_one(count);
    // A component is no process and knows no number of one.
    let process = if cfg!(target_family = "wasm") { 0 } else { std::process::id() };
    let seed = format!("{place} {micros} {count} {process} {random}");
    format!("{micros:017}-{}", &Digest::sha256(seed.as_bytes()).short()[..8])
}
