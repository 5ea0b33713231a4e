//! Requests, trainings, evaluations, versions, windows and reports.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DataFile, Signature};
use crate::{Digest, Finding, gate::Metrics, spec::Task};

/// `windows/<model>/<start>.json`: this span of event time is closed. It triggers `monitor`. It names what was predicted by
/// content, not by file: which files the log was cut into is chance, and stands in `logs/<model>/<start>.json` (see [`Log`]),
/// which triggers nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MonitoringWindow {
    /// The model's name in `tidemill.toml`.
    pub model: String,
    /// First instant of the window.
    pub start: Timestamp,
    /// First instant after it.
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
    pub data_files: Vec<DataFile>,
}

/// `logs/<model>/<start>.json`: the Parquet files that hold a closed window's predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WindowSegments {
    /// Keys of Parquet files, ascending; a prediction may be in two of them.
    pub segments: Vec<String>,
}

/// The predictions of a window, whatever files they were cut into: an id counts once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowSummary {
    /// Keys of the Parquet segments, ascending.
    pub segments: Vec<String>,
    /// Distinct ids.
    pub predictions: u64,
    /// Distinct ids by model version.
    pub versions: BTreeMap<u32, u64>,
    /// Over (id, version, score bits) in the order of the ids. An id that was served twice counts as it was served first.
    pub digest: Digest,
}

/// Facts of `monitor`, and `reports/<model>/<start>/<digest of labels>/report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MonitoringReport {
    /// As in the window.
    pub model: String,
    /// As in the window.
    pub start: Timestamp,
    /// As in the window.
    pub end: Timestamp,
    /// As in the window: its end.
    pub as_of: Timestamp,
    /// As in the window.
    pub previous: Option<Timestamp>,
    /// Where this report stands.
    pub key: String,
    /// The version that made most predictions of the window; `None` if nothing was predicted.
    pub version: Option<u32>,
    /// Distinct predictions in the window.
    pub predictions: u64,
    /// Rows of the dataset known at the window's close, and those in the window.
    pub rows: u64,
    /// See `rows`.
    pub window_rows: u64,
    /// One entry a feature in signature order, then `_score`; empty if nothing was predicted.
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
    pub data_files: Vec<DataFile>,
}

/// One column against the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ColumnDrift {
    /// A feature, or `_score` for the predictions.
    pub column: String,
    /// The name of the drift method: see [`DriftMethod`](crate::spec::DriftMethod).
    pub method: String,
    /// The distance between window and reference, by that method; 0 where a side has no rows.
    pub statistic: f64,
    /// Statistic above which the column counts as drifted.
    pub threshold: f64,
    /// Adjusted for all columns; `None` where there are too few blocks to tell.
    pub p_value: Option<f64>,
    /// Whether the statistic is above the threshold, and could be judged.
    pub drifted: bool,
    /// Blocks in the window.
    pub blocks: u64,
}

/// What `retrain` decided for a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetrainAction {
    /// A request was written.
    Train,
    /// Nothing to do.
    Keep,
}

/// Facts of `retrain`, and `decisions/<model>/<start>.json`, create-only: the fold over windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RetrainDecision {
    /// The model that it is about.
    pub model: String,
    /// The window's start.
    pub window: Timestamp,
    /// The report's clock.
    pub as_of: Timestamp,
    /// Whether to train.
    pub decision: RetrainAction,
    /// `first`, `drift`, `accuracy`, `rows`, `schedule`, `person`: all that held, in this order.
    pub causes: Vec<String>,
    /// Why, for a person.
    pub reason: String,
    /// The key of the report that it follows.
    pub report: Option<String>,
    /// The key of the request that was written; `None` for `keep`.
    pub request: Option<String>,
    /// Rows known at this decision, and at the last decision to train up to and with this one.
    pub rows: u64,
    /// See `rows`.
    pub trained_rows: u64,
    /// Window of the last decision to train, up to and with this one.
    pub trained: Option<Timestamp>,
}

/// `requests/<model>/<start>.json`: train on these parts. It triggers `featurize`; who asked and why is in the decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrainingRequest {
    /// The model to train.
    pub model: String,
    /// Start of the window that it follows.
    pub window: Timestamp,
    /// The decision's clock: later rows are not there for the training.
    pub as_of: Timestamp,
    /// What to train on, by time, then digest.
    pub data_files: Vec<DataFile>,
}

/// Facts of `train`, and `candidates/<model>/<run>/training.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrainingResult {
    /// The model that was trained.
    pub model: String,
    /// What the label is.
    pub task: Task,
    /// `candidates/<model>/<run>/model.onnx`: input `features` f32 [n, k]; output `scores` f32 [n, classes], or [n, 1] for regression.
    pub onnx: String,
    /// SHA-256 of `onnx`.
    pub onnx_digest: Digest,
    /// The feature set's facts come along.
    pub features: super::FeatureSet,
    /// The trainer's parameters as used.
    pub parameters: serde_json::Value,
    /// Rounds kept; 0 for a model from elsewhere.
    pub rounds: u32,
    /// By transformed column: its share of the total gain (trees) or |coefficient| (linear).
    pub importances: BTreeMap<String, f64>,
    /// Loss and metrics on the validation slice.
    pub metrics: Metrics,
}

/// Facts of `evaluate`, and `evaluations/<model>/<run>/evaluation.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Evaluation {
    /// The candidate.
    pub training: TrainingResult,
    /// On the holdout.
    pub metrics: Metrics,
    /// The champion's on the same holdout, and its version.
    pub champion: Option<Metrics>,
    /// See `champion`.
    pub champion_version: Option<u32>,
    /// By column of the model's `slices`, then by falling rows; only the most frequent values of a column.
    pub slices: Vec<MetricSlice>,
    /// One a gate that failed; empty = passed.
    pub failed: Vec<Finding>,
}

/// One slice of the holdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MetricSlice {
    /// One of the holdout's columns.
    pub column: String,
    /// Its value as text; empty where it is missing.
    pub value: String,
    /// Rows of the holdout with it.
    pub rows: u64,
    /// Over those rows.
    pub metrics: Metrics,
}

/// Facts of `register`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Registration {
    /// The model that has a new version.
    pub model: String,
    /// Its number: 1, 2, ….
    pub version: u32,
    /// `models/<model>/versions/<n>.json`.
    pub key: String,
    /// SHA-256 of the model file.
    pub onnx_digest: Digest,
}

/// `models/<model>/versions/<n>.json`, create-only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelVersion {
    /// The model's name in `tidemill.toml`.
    pub model: String,
    /// 1, 2, …, without gaps.
    pub version: u32,
    /// The clock of the registration.
    pub as_of: Timestamp,
    /// What the scores are.
    pub task: Task,
    /// The key of the model file, see [`Training::onnx`].
    pub onnx: String,
    /// SHA-256 of `onnx`.
    pub onnx_digest: Digest,
    /// The key of the feature transform that comes before it.
    pub transform: String,
    /// SHA-256 of `transform`.
    pub transform_digest: Digest,
    /// The training profile, for drift.
    pub profile: String,
    /// What a request must hold.
    pub signature: Signature,
    /// The classes in the order of the scores; empty for regression.
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
pub struct ModelAlias {
    /// The model that has it.
    pub model: String,
    /// `champion`, `challenger`, ….
    pub alias: String,
    /// The version that it stands for.
    pub version: u32,
    /// SHA-256 of that version's model file.
    pub onnx_digest: Digest,
    /// How often it was moved before.
    pub moves: u32,
    /// The clock of the version that it stands for.
    pub as_of: Timestamp,
}
