//! A model: how it is trained, what it must reach, how it is watched, when it is trained again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DriftMethod;
use crate::{Digest, gate::Gate, time::Span};

/// `[model.<name>]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Model {
    /// The model's name.
    pub name: String,
    /// The features that it is trained on.
    pub features: String,
    /// What is predicted.
    pub task: Task,
    /// How it is trained.
    #[serde(default)]
    pub trainer: Trainer,
    /// What a candidate must reach on the holdout. `champion.` terms pass while there is no champion.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// Columns whose values cut the holdout into slices that are scored one by one.
    #[serde(default)]
    pub slices: Vec<String>,
    /// How it is watched.
    #[serde(default)]
    pub monitor: Monitor,
    /// When it is trained again.
    #[serde(default)]
    pub retrain: Retrain,
}

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Two classes; the score is the positive one's probability.
    Binary,
    /// Several classes.
    Multiclass,
    /// A number.
    Regression,
}

/// `trainer = { … }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Trainer {
    /// Trees, linear, or from elsewhere.
    pub kind: TrainerKind,
    /// Most boosting rounds.
    pub rounds: u32,
    /// Step size.
    pub learning_rate: f64,
    /// Most leaves of a tree.
    pub leaves: u32,
    /// Deepest level of a tree.
    pub depth: u32,
    /// Fewest rows in a leaf.
    pub minimum_leaf_rows: u32,
    /// L2 regularisation.
    pub l2: f64,
    /// Rounds without a better loss on the validation slice after which training ends; 0 = never.
    pub early_stopping: u32,
    /// Weights by class, as written in the label; `{}` = all 1.
    pub class_weights: BTreeMap<String, f64>,
    /// For everything random.
    pub seed: u64,
    /// Of `onnx` alone: the SHA-256 of the model, which `tidemill models import` put into the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onnx: Option<Digest>,
}

impl Trainer {
    /// Where a model of `kind = "onnx"` lies in the store.
    pub fn import_key(model: &str, digest: &Digest) -> String {
        format!("imports/{model}/{digest}.onnx")
    }
}

impl Default for Trainer {
    fn default() -> Self {
        Self {
            kind: TrainerKind::Trees,
            rounds: 300,
            learning_rate: 0.1,
            leaves: 31,
            depth: 8,
            minimum_leaf_rows: 20,
            l2: 1.0,
            early_stopping: 20,
            class_weights: BTreeMap::new(),
            seed: 0,
            onnx: None,
        }
    }
}

/// Trees, linear, or from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainerKind {
    /// Gradient-boosted trees.
    Trees,
    /// Linear or logistic regression.
    Linear,
    /// Not trained here: a model from elsewhere, which is judged, registered and served as any other. It sees the features as numbers in
    /// the signature's order.
    Onnx,
}

/// `monitor = { … }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", from = "RawMonitor")]
pub struct Monitor {
    /// The span of event time that one report covers; default `"1 day"`.
    pub window: Span,
    /// The span within which rows are taken to depend on each other; default `"1 day"`.
    pub block: Span,
    /// The probability that a window without drift is called drifted, over all columns together; default 0.01.
    pub false_alarm_rate: f64,
    /// The smallest distance that is called drift, in the unit of `method`; default: the method's own threshold.
    pub minimum_effect: f64,
    /// How the difference is measured; default `"jensen-shannon"`.
    pub method: DriftMethod,
}

/// As in the file, where the method decides what a missing `minimum-effect` is.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawMonitor {
    window: Span,
    block: Span,
    false_alarm_rate: f64,
    minimum_effect: Option<f64>,
    method: DriftMethod,
}

impl Default for RawMonitor {
    fn default() -> Self {
        Self {
            window: Span::days(1),
            block: Span::days(1),
            false_alarm_rate: 0.01,
            minimum_effect: None,
            method: DriftMethod::default(),
        }
    }
}

impl From<RawMonitor> for Monitor {
    fn from(raw: RawMonitor) -> Self {
        Self {
            window: raw.window,
            block: raw.block,
            false_alarm_rate: raw.false_alarm_rate,
            minimum_effect: raw.minimum_effect.unwrap_or_else(|| raw.method.info().threshold),
            method: raw.method,
        }
    }
}

impl Default for Monitor {
    fn default() -> Self {
        RawMonitor::default().into()
    }
}

/// `retrain = { … }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Retrain {
    /// `"drift"` or conditions such as `"auc < training.auc - 0.03"`.
    pub when: Vec<String>,
    /// Data time that must pass after a decision to train; default `"0 days"`.
    pub cooldown: Span,
    /// Rows of labelled data that the first training needs; default 1000.
    pub minimum_rows: u64,
    /// New rows that a retraining needs; default 1.
    pub minimum_new_rows: u64,
    /// Train when so many new rows have come, whatever else; 0 = never.
    pub every_rows: u64,
    /// Train when so much data time has passed since the last training; `None` = never.
    pub every: Option<Span>,
    /// Most trainings a wall-clock day: kept by the flow; default 24.
    pub daily_budget: u32,
}

impl Default for Retrain {
    fn default() -> Self {
        Self {
            when: vec!["drift".into()],
            cooldown: Span::days(0),
            minimum_rows: 1000,
            minimum_new_rows: 1,
            every_rows: 0,
            every: None,
            daily_budget: 24,
        }
    }
}
