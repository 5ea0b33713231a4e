//! Drift and accuracy of one closed window, as a report. Rows of a block (a day) depend on each other, so blocks are compared, not
//! rows; and what is judged is whole: without a version or without labels the report says less, but it is there.
//!
//! The reference is the serving version's training profile: `profile.json` gives each feature's bins, `blocks.parquet` beside it their
//! counts by block, with the columns `block` TIMESTAMP, `column` VARCHAR, `bin` BIGINT, `count` BIGINT. A number's bin is how many
//! edges are ≤ it; a category's its place in `top`, and `top`'s length for others; the last bin is "missing".

mod accuracy;
mod bins;
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
pub struct Monitor;

/// Its configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The model, with `[model.<name>.monitor]`.
    pub model: Model,
    /// Its features: the truth is their label.
    pub features: Features,
    /// The dataset that they are made from.
    pub dataset: Dataset,
}

impl Stage for Monitor {
    const NAME: &'static str = "monitor";
    type Config = Config;

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
