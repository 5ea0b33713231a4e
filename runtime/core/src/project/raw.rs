//! `tidemill.toml` as written.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ObserveSettings, StoreSettings};
use crate::{
    gate::Gate,
    pipeline::DEFAULT_MAX_DEPTH,
    spec::{Collect, Features, Holdout, Model, Monitor, Retrain, Task, Trainer, TransformRule, default_validation_share},
    time::Span,
};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawProject {
    pub(super) project: RawHeader,
    #[serde(default)]
    pub(super) store: StoreSettings,
    #[serde(default)]
    pub(super) observe: ObserveSettings,
    #[serde(default)]
    pub(super) dataset: BTreeMap<String, RawDataset>,
    #[serde(default)]
    pub(super) features: BTreeMap<String, RawFeatures>,
    #[serde(default)]
    pub(super) model: BTreeMap<String, RawModel>,
    #[serde(default)]
    pub(super) stage: Vec<RawStage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawHeader {
    pub(super) name: String,
    #[serde(default = "default_max_depth")]
    pub(super) max_depth: u32,
}

fn default_max_depth() -> u32 {
    DEFAULT_MAX_DEPTH
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawDataset {
    pub(super) contract: String,
    pub(super) time: String,
    pub(super) key: Vec<String>,
    pub(super) collect: Option<Collect>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawFeatures {
    pub(super) dataset: String,
    pub(super) sql: String,
    label: String,
    #[serde(default)]
    holdout: Holdout,
    #[serde(default = "default_validation_share")]
    validation_share: f64,
    #[serde(default)]
    transform: BTreeMap<String, TransformRule>,
}

impl RawFeatures {
    /// With what follows from the table's name, the SQL file and the dataset.
    pub(super) fn into_features(self, name: &str, sql: String, time: String, key: Vec<String>) -> Features {
        Features {
            name: name.to_owned(),
            dataset: self.dataset,
            sql,
            label: self.label,
            time,
            key,
            holdout: self.holdout,
            validation_share: self.validation_share,
            transform: self.transform,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawModel {
    features: String,
    task: Task,
    #[serde(default)]
    trainer: Trainer,
    #[serde(default)]
    pub(super) gates: Vec<String>,
    #[serde(default)]
    slices: Vec<String>,
    #[serde(default)]
    monitor: Monitor,
    #[serde(default)]
    retrain: Retrain,
}

impl RawModel {
    /// With what follows from the table's name, and the gates as read.
    pub(super) fn into_model(self, name: &str, gates: Vec<Gate>) -> Model {
        Model {
            name: name.to_owned(),
            features: self.features,
            task: self.task,
            trainer: self.trainer,
            gates,
            slices: self.slices,
            monitor: self.monitor,
            retrain: self.retrain,
        }
    }
}

/// `[[stage]]`: adds a stage, or with the name of one of the nine replaces its component or limits.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawStage {
    pub(super) name: String,
    pub(super) component: Option<String>,
    #[serde(default)]
    pub(super) on: OneOrMany,
    #[serde(default)]
    pub(super) reads: Vec<String>,
    #[serde(default)]
    pub(super) writes: Vec<String>,
    #[serde(default)]
    pub(super) fetch: Vec<String>,
    #[serde(default)]
    pub(super) config: toml::Table,
    #[serde(default)]
    pub(super) seed: u64,
    pub(super) timeout_seconds: Option<u64>,
    pub(super) memory_megabytes: Option<u64>,
    pub(super) concurrency: Option<usize>,
    pub(super) every: Option<Span>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}
