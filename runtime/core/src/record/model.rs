//! Requests, trainings, evaluations, versions, windows and reports.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Part, Signature};
use crate::{Digest, Finding, gate::Metrics, spec::Task};

/// `windows/<model>/<start>.json`: this span of event time is closed. It triggers `monitor`. It names what was predicted by
/// content, not by file: which files the log was cut into is chance, and stands beside it in `windows/<model>/<start>.log.json`
/// (see [`Log`]; that key is under `logs/<model>/` so that it triggers nothing).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Window {
    pub model: String,
    pub start: Timestamp,
    pub end: Timestamp,
    /// The window's end: the clock of whoever it triggers.
    pub as_of: Timestamp,
    /// The start of the window before, if there is one.
    pub previous: Option<Timestamp>,
    /// Distinct predictions in it.
    pub predictions: u64,
    /// Rows by model version.
    pub versions: BTreeMap<u32, u64>,
    /// Order-independent digest over the predictions' ids and scores.
    pub digest: Digest,
    /// All parts of the dataset that have rows before `end`, by time, then digest.
    pub parts: Vec<Part>,
}

/// `logs/<model>/<start>.json`: the Parquet files that hold a closed window's predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Log {
    pub segments: Vec<String>,
}

/// Facts of `monitor`, and `reports/<model>/<start>/<digest of labels>/report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Report {
    pub model: String,
    pub start: Timestamp,
    pub end: Timestamp,
    pub as_of: Timestamp,
    pub previous: Option<Timestamp>,
    /// Where this report stands.
    pub key: String,
    /// The version that made most predictions of the window; `None` if nothing was predicted.
    pub version: Option<u32>,
    pub predictions: u64,
    /// Rows of the dataset known at the window's close, and those in the window.
    pub rows: u64,
    pub window_rows: u64,
    pub drift: Vec<ColumnDrift>,
    /// Whether any column drifted.
    pub drifted: bool,
    /// Predictions whose truth is known.
    pub labelled: u64,
    /// Metrics over those; empty if there are none.
    pub metrics: Metrics,
    /// The version's own metrics on its holdout.
    pub training: Metrics,
    /// Parts as in the window: what a retraining would read.
    pub parts: Vec<Part>,
}

/// One column against the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct ColumnDrift {
    /// A feature, or `_score` for the predictions.
    pub column: String,
    pub method: String,
    pub statistic: f64,
    /// Statistic above which the column counts as drifted.
    pub threshold: f64,
    pub p_value: Option<f64>,
    pub drifted: bool,
    /// Blocks in the window.
    pub blocks: u64,
}

/// What `retrain` decided for a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetrainDecision {
    /// A request was written.
    Train,
    /// Nothing to do.
    Keep,
}

/// Facts of `retrain`, and `decisions/<model>/<start>.json`, create-only: the fold over windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct DriftDecision {
    pub model: String,
    pub window: Timestamp,
    pub as_of: Timestamp,
    pub decision: RetrainDecision,
    /// `first`, `drift`, `accuracy`, `rows`, `schedule`, `person`: all that held, in this order.
    pub causes: Vec<String>,
    /// Why, for a person.
    pub reason: String,
    pub report: Option<String>,
    pub request: Option<String>,
    /// Rows known at this decision, and at the last decision to train up to and with this one.
    pub rows: u64,
    pub trained_rows: u64,
    /// Window of the last decision to train, up to and with this one.
    pub trained: Option<Timestamp>,
}

/// `requests/<model>/<start>.json`: train on these parts. It triggers `featurize`; who asked and why is in the decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Request {
    pub model: String,
    pub window: Timestamp,
    pub as_of: Timestamp,
    pub parts: Vec<Part>,
}

/// Facts of `train`, and `candidates/<model>/<run>/training.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Training {
    pub model: String,
    pub task: Task,
    /// `candidates/<model>/<run>/model.onnx`: input `features` f32 [n, k]; output `scores` f32 [n, classes], or [n, 1] for regression.
    pub onnx: String,
    pub onnx_digest: Digest,
    /// The feature set's facts come along.
    pub features: super::FeatureSet,
    /// The trainer's parameters as used.
    pub parameters: serde_json::Value,
    /// Rounds kept.
    pub rounds: u32,
    /// By transformed column: its share of the total gain (trees) or |coefficient| (linear).
    pub importances: BTreeMap<String, f64>,
    /// Loss and metrics on the stop slice.
    pub metrics: Metrics,
}

/// Facts of `evaluate`, and `evaluations/<model>/<run>/evaluation.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Evaluation {
    pub training: Training,
    /// On the holdout.
    pub metrics: Metrics,
    /// The champion's on the same holdout, and its version.
    pub champion: Option<Metrics>,
    pub champion_version: Option<u32>,
    pub slices: Vec<Slice>,
    /// One a gate that failed; empty = passed.
    pub failed: Vec<Finding>,
}

/// One slice of the holdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Slice {
    pub column: String,
    pub value: String,
    pub rows: u64,
    pub metrics: Metrics,
}

/// Facts of `register`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Registration {
    pub model: String,
    pub version: u32,
    /// `models/<model>/versions/<n>.json`.
    pub key: String,
    pub onnx_digest: Digest,
}

/// `models/<model>/versions/<n>.json`, create-only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Version {
    pub model: String,
    pub version: u32,
    pub as_of: Timestamp,
    pub task: Task,
    pub onnx: String,
    pub onnx_digest: Digest,
    pub transform: String,
    pub transform_digest: Digest,
    /// The training profile, for drift.
    pub profile: String,
    pub signature: Signature,
    pub classes: Vec<String>,
    /// On the holdout.
    pub metrics: Metrics,
    /// The evaluation's object: from there to the training, the feature set, the request and the parts.
    pub evaluation: String,
    /// The key of the request.
    pub request: String,
}

/// `models/<model>/aliases/<alias>.json`, moved by compare-and-swap. Its history stands create-only beside it:
/// `models/<model>/aliases/<alias>/<n>.json`, `n` = `moves`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Alias {
    pub model: String,
    pub alias: String,
    pub version: u32,
    pub onnx_digest: Digest,
    /// How often it was moved before.
    pub moves: u32,
    pub as_of: Timestamp,
}
