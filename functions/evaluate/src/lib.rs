//! Evaluates a candidate: its metrics on the holdout, the champion's on the same rows, by slices, and against the gates.
//!
//! - *Reads* the outcome of `train` that triggers it, the holdout slice, and the candidate and the champion with their transforms.
//! - *Writes* `evaluations/<model>/<run>/evaluation.json`, or `…/<run>/against-<n>/evaluation.json` where champion `n` was scored too.
//! - *Decides* `done` with an [`Evaluation`](tidemill_core::record::Evaluation), or `rejected` with the same result if a gate fails.
//!
//! Models of Tidemill's own trainer are evaluated in the component, and models from elsewhere by the host's ONNX engine, which is a
//! component too: a gate does not depend on the machine.

mod gates;
mod holdout;
mod steps;

use serde::{Deserialize, Serialize};
use tidemill_core::{Host, Outcome, Result, Stage, Trigger, spec::Model};

/// Configuration, from `tidemill.toml`.
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

    /// Triggered by an outcome of `train`; the result is an `Evaluation`.
    fn run(trigger: &Trigger, config: Config, host: &dyn Host) -> Result<Outcome> {
        steps::run(trigger, &config.model, host)
    }
}

tidemill_sdk::export!(Evaluate);
