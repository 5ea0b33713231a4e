//! Trains a model on a feature set and writes it as ONNX, with its parameters, importances and loss. One from elsewhere it takes over.
//!
//! It sees the train and stop slices alone; the holdout belongs to `evaluate`. Equal feature sets give equal bytes.

mod candidate;
mod import;
mod read;
mod work;

use serde::{Deserialize, Serialize};
use tidemill_core::{Host, Outcome, Result, Stage, Trigger, spec::Model};

/// What it is told by `tidemill.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// The model to train.
    pub model: Model,
}

/// The stage.
#[derive(Debug)]
pub struct Train;

impl Stage for Train {
    const NAME: &'static str = "train";
    type Config = Config;

    /// Triggered by an outcome of `featurize`; its facts are a `Training`.
    fn run(trigger: &Trigger, config: Config, host: &dyn Host) -> Result<Outcome> {
        work::run(trigger, &config.model, host)
    }
}

tidemill_sdk::export!(Train);
