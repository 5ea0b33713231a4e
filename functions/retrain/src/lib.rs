//! The one place that decides to train. Decisions are a fold over windows: each needs the one before, and a window is decided once,
//! so that events which come twice, late or out of order train nothing twice.
//!
//! A window's decision stands at `decisions/<model>/<start>.json`, a tick's at `decisions/<model>/schedules/<time>.json`, both create-only.
//! A decision to train writes `requests/<model>/…json`, which triggers `featurize`.

mod decide;
mod policy;
mod scheduled;
mod state;

use serde::Deserialize;
use tidemill_core::{Host, ObjectsExt, Outcome, Result, Stage, Trigger, record::MonitoringReport, record::OutcomeRecord, spec::Model};

/// The stage.
pub struct Retrain;

/// Its configuration.
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

    fn run(trigger: &Trigger, config: Config, host: &dyn Host) -> Result<Outcome> {
        if trigger.key.starts_with("schedules/") {
            return scheduled::run(trigger, &config.model, host);
        }
        let record: OutcomeRecord = host.objects().get_json(&trigger.key)?;
        let report: MonitoringReport = serde_json::from_value(record.result)
            .map_err(|e| tidemill_core::Error::input(format!("`{}` holds no report: {e}", trigger.key)))?;
        decide::decide_window(&config.model, &report, host)
    }
}

tidemill_sdk::export!(Retrain);
