//! Measures drift and accuracy of one closed window.
//!
//! - *Reads* the window that triggers it (`windows/<model>/…`), its predictions, the serving version with its training profile, and the
//!   labels: the dataset's rows, and objects under `labels/<model>/`, which trigger it too.
//! - *Writes* `reports/<model>/<start>/<digest>/report.json`, where the digest covers the sources of the labels.
//! - *Decides* `done` with a [`MonitoringReport`](tidemill_core::record::MonitoringReport), or `skipped` for labels of no closed window.
//!   `retrain` decides what follows from a report.
//!
//! Rows of a block (a day) depend on each other, so blocks are compared, not rows. A report is complete even without a version or labels:
//! it then contains less.
//!
//! The reference is the serving version's training profile: `profile.json` gives each feature's [`Bins`](tidemill_stats::profile::Bins),
//! and `blocks.parquet` in the same folder gives their counts by block, with the columns `block` TIMESTAMP, `column` VARCHAR, `bin` BIGINT,
//! `count` BIGINT.

mod accuracy;
mod counts;
mod drift;
mod labels;
mod read;
mod report;
mod scores;

use serde::Deserialize;
use tidemill_core::{
    Host, ObjectsExt, Outcome, Result, Stage, Trigger,
    record::MonitoringWindow,
    spec::{Dataset, Features, Model},
};

/// The stage.
#[derive(Debug)]
pub struct Monitor;

/// Configuration, from `tidemill.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The model, with `[model.<name>.monitor]`.
    pub model: Model,
    /// Its features, whose label the predictions are compared with.
    pub features: Features,
    /// The dataset that the features are computed from.
    pub dataset: Dataset,
}

impl Stage for Monitor {
    const NAME: &'static str = "monitor";
    type Config = Config;

    /// Reports on a window, or on every closed window that labels revise. The outcome's result is the (last)
    /// [`MonitoringReport`](tidemill_core::record::MonitoringReport).
    fn run(trigger: &Trigger, config: Config, host: &dyn Host) -> Result<Outcome> {
        if trigger.key.starts_with("labels/") {
            return labels::run(trigger, &config, host);
        }
        let window: MonitoringWindow = host.objects().get_json(&trigger.key)?;
        let report = report::write_report(&window, &config, host)?;
        Ok(Outcome::done(report::summarize(&report), &report).with_as_of(report.as_of))
    }
}

tidemill_sdk::export!(Monitor);
