//! Judges a candidate: its metrics on the holdout, beside the champion's on the same rows, by slices, and against the gates.
//!
//! Both are scored with tract, compiled into the component, each through its own transform, so that a gate never depends on the
//! machine. A candidate that fails a gate is an outcome, `rejected`, with the whole evaluation in its facts.

mod gates;
mod holdout;
mod steps;

use serde::{Deserialize, Serialize};
use tidemill_core::{Host, Outcome, Result, Stage, Trigger, spec::Model};

/// What it is told by `tidemill.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// The model, with its gates and slices.
    pub model: Model,
}

/// The stage.
#[derive(Debug)]
pub struct Evaluate;

impl Stage for Evaluate {
    const NAME: &'static str = "evaluate";
    type Config = Config;

    /// Triggered by an outcome of `train`; its facts are an `Evaluation`.
    fn run(trigger: &Trigger, config: Config, host: &dyn Host) -> Result<Outcome> {
        steps::run(trigger, &config.model, host)
    }
}

tidemill_sdk::export!(Evaluate);
