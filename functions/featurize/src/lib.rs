//! Makes features: SQL over a dataset's parts, split into train, stop and holdout, and the transform fitted on train alone.
//!
//! Which block of time belongs to which slice depends on the block's hash alone, so that a day that was once held out never gets
//! into a later training, and a champion is never judged on rows that it has seen.

mod parts;
mod profile;
mod read;
mod slices;
mod work;

use serde::{Deserialize, Serialize};
use tidemill_core::{
    Host, Outcome, Result, Stage, Trigger,
    spec::{Dataset, Features, Model},
};

/// What it is told by `tidemill.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// The features to make.
    pub features: Features,
    /// What they are made from.
    pub dataset: Dataset,
    /// Whom they are for.
    pub model: Model,
}

/// The stage.
#[derive(Debug)]
pub struct Featurize;

impl Stage for Featurize {
    const NAME: &'static str = "featurize";
    type Config = Config;

    /// Triggered by a request (`requests/<model>/…`); its facts are a `FeatureSet`.
    fn run(trigger: &Trigger, config: Config, host: &dyn Host) -> Result<Outcome> {
        work::run(trigger, &config, host)
    }
}

tidemill_sdk::export!(Featurize);
