//! Decides whether a model is retrained: no other stage requests a training.
//!
//! - *Reads* the report of `monitor` (in the outcome that triggers it) or a scheduled event (`schedules/retrain/<model>/…`), and the
//!   earlier decisions.
//! - *Writes* one decision for each window, `decisions/<model>/<start>.json`, and for each scheduled event,
//!   `decisions/<model>/schedules/<time>.json`. A decision to train also writes `requests/<model>/….json`, which triggers `featurize`.
//! - *Decides* `done` with a [`RetrainDecision`](tidemill_core::record::RetrainDecision) to `train` or to `keep`, or `skipped` if the
//!   window is already decided.
//!
//! Decisions are a fold over windows: each needs the previous one, and a window is decided once, so that events delivered twice, late or
//! out of order cause no second training. A window whose run ended in a dead letter has a note instead of a decision: it is passed over,
//! and the next decision names it.

mod decide;
mod policy;
mod scheduled;
mod state;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use tidemill_core::{
    Error, Host, ObjectsExt, Outcome, Result, Stage, Trigger,
    record::{MonitoringReport, OutcomeRecord},
    spec::Model,
};

/// The stage.
#[derive(Debug)]
pub struct Retrain;

/// Configuration, from `tidemill.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The model, with `[model.<name>.retrain]`.
    pub model: Model,
}

impl Stage for Retrain {
    const NAME: &'static str = "retrain";
    type Config = Config;
    const SQL: bool = false;

    /// Decides on a window or a scheduled event. The outcome's result is a [`RetrainDecision`](tidemill_core::record::RetrainDecision).
    fn run(trigger: &Trigger, config: Config, host: &dyn Host) -> Result<Outcome> {
        if trigger.key.starts_with("schedules/") {
            return scheduled::decide_event(trigger, &config.model, host);
        }
        let record: OutcomeRecord = host.objects().get_json(&trigger.key)?;
        let report: MonitoringReport =
            serde_json::from_value(record.result).map_err(|e| Error::input(format!("`{}` holds no report: {e}", trigger.key)))?;
        decide::decide_window(&config.model, &report, host)
    }
}

tidemill_sdk::export!(Retrain);
