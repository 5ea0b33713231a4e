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

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_core::{Digest, pipeline::Pipeline, time::Span};

pub use batch::{Batch, Values};
pub use direct::DirectLog;
pub use segment::{Segment, build_segments};
pub use summary::{WindowSummary, summarize_window};

/// How a model's predictions are filed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LoggedModel {
    /// The span of one folder: the monitor's window.
    pub window: Span,
    /// The column that holds a row's event time; rows without it are filed by when they were served.
    pub time: String,
}

/// What is served, as far as whoever logs it needs to know. Written into a function's or component's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServingConfig {
    /// How each model's predictions are filed: the monitor's window, and the column that holds the event time.
    pub models: BTreeMap<String, LoggedModel>,
}

impl ServingConfig {
    /// All models of a project.
    pub fn from_pipeline(pipeline: &Pipeline) -> Self {
        let filed = pipeline.models.values().filter_map(|model| {
            let time = pipeline.features.get(&model.features)?.time.clone();
            let window = model.monitor.window;
            Some((model.name.clone(), LoggedModel { window, time }))
        });
        Self { models: filed.collect() }
    }
}

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
