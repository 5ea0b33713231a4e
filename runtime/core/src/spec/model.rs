//! A model: how it is trained, what it must reach, how it is monitored, and when it is retrained.

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
    /// The features that the model is trained on.
    pub features: String,
    /// What the model predicts.
    pub task: Task,
    /// How the model is trained.
    #[serde(default)]
    pub trainer: Trainer,
    /// The conditions that a candidate must meet on the holdout. `champion.` terms pass while there is no champion.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// Columns whose values divide the holdout into slices; each slice is scored separately.
    #[serde(default)]
    pub slices: Vec<String>,
    /// How the model is monitored.
    #[serde(default)]
    pub monitor: Monitor,
    /// When the model is retrained.
    #[serde(default)]
    pub retrain: Retrain,
}

/// What a model predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Two classes; the score is the probability of the positive class.
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
    /// The kind of trainer.
    pub kind: TrainerKind,
    /// Maximum number of boosting rounds.
    pub rounds: u32,
    /// Step size.
    pub learning_rate: f64,
    /// Maximum number of leaves of a tree.
    pub leaves: u32,
    /// Maximum depth of a tree.
    pub depth: u32,
    /// Minimum number of rows in a leaf.
    pub minimum_leaf_rows: u32,
    /// L2 regularisation.
    pub l2: f64,
    /// Number of rounds without a better validation loss after which training ends; 0 = never.
    pub early_stopping: u32,
    /// Weights by class, as written in the label; `{}` = all 1.
    pub class_weights: BTreeMap<String, f64>,
    /// The seed for everything random.
    pub seed: u64,
    /// For the kind `onnx` only: the SHA-256 of the model, which `tidemill models import` puts into the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onnx: Option<Digest>,
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

/// A kind of trainer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainerKind {
    /// Gradient-boosted trees.
    Trees,
    /// Linear or logistic regression.
    Linear,
    /// No training: a model from elsewhere is evaluated, registered and served like any other. It receives the features as numbers in the
    /// signature's order.
    Onnx,
}

/// `monitor = { … }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", from = "RawMonitor")]
pub struct Monitor {
    /// The span of event time that one report covers; default `"1 day"`.
    pub window: Span,
    /// The span within which rows are assumed to depend on each other; default `"1 day"`.
    pub block: Span,
    /// The probability that a window without drift is reported as drifted, over all columns together; default 0.01.
    pub false_alarm_rate: f64,
    /// The smallest distance that counts as drift, in the unit of `method`; default: the method's own threshold.
    pub minimum_effect: f64,
    /// The measure of the difference; default `"jensen-shannon"`.
    pub method: DriftMethod,
}

/// The table in the file, where the method determines the default of `minimum-effect`.
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
            minimum_effect: raw.minimum_effect.unwrap_or_else(|| raw.method.threshold()),
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
    /// The causes of a retraining: `"drift"`, or conditions such as `"auc < training.auc - 0.03"`.
    pub when: Vec<String>,
    /// Data time that must pass after a decision to train; default `"0 days"`.
    pub cooldown: Span,
    /// Number of labelled rows that the first training needs; default 1000.
    pub minimum_rows: u64,
    /// Number of new rows that a retraining needs; default 1.
    pub minimum_new_rows: u64,
    /// Number of new rows that causes a training, regardless of `when`; 0 = never.
    pub every_rows: u64,
    /// Data time since the last training that causes another; `None` = never.
    pub every: Option<Span>,
    /// Maximum number of trainings per wall-clock day, enforced by the host; default 24.
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
