//! Training requests and results, evaluations, model versions, monitoring windows and reports.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DataFile, Signature};
use crate::{Digest, Finding, gate::Metrics, spec::Task};

/// `windows/<model>/<start>.json`: a closed span of event time, which triggers `monitor`.
///
/// A window identifies its predictions by content, not by file: how the log was divided into files is incidental, and is recorded in
/// `logs/<model>/<start>.json` (see [`WindowSegments`]), which triggers nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MonitoringWindow {
    /// The model's name in `tidemill.toml`.
    pub model: String,
    /// First instant of the window.
    pub start: Timestamp,
    /// First instant after the window.
    pub end: Timestamp,
    /// The window's end: the clock of the stage that it triggers.
    pub as_of: Timestamp,
    /// Start of the previous window, if there is one.
    pub previous: Option<Timestamp>,
    /// Number of distinct predictions.
    pub predictions: u64,
    /// Number of rows by model version.
    pub versions: BTreeMap<u32, u64>,
    /// Order-independent digest over the predictions' ids and scores.
    pub digest: Digest,
    /// Data files of the dataset that have rows before `end`, by time, then digest.
    pub data_files: Vec<DataFile>,
}

/// `logs/<model>/<start>.json`: the Parquet files that hold a closed window's predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WindowSegments {
    /// Keys of Parquet files, ascending; a prediction may be in two of them.
    pub segments: Vec<String>,
}

/// The predictions of a window, independent of how they were divided into files: an id counts once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowSummary {
    /// Keys of the Parquet segments, ascending.
    pub segments: Vec<String>,
    /// Number of distinct ids.
    pub predictions: u64,
    /// Number of distinct ids by model version.
    pub versions: BTreeMap<u32, u64>,
    /// Digest over (id, version, score bits) in the order of the ids. An id that was served twice counts as it was first served.
    pub digest: Digest,
}

/// The result of `monitor`, also stored at `reports/<model>/<start>/<digest of labels>/report.json`.
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
    /// Key of this report.
    pub key: String,
    /// The version that made most predictions of the window; `None` if there are no predictions.
    pub version: Option<u32>,
    /// Number of distinct predictions in the window.
    pub predictions: u64,
    /// Number of rows of the dataset known when the window closed.
    pub rows: u64,
    /// Number of those rows in the window.
    pub window_rows: u64,
    /// One entry per feature in signature order, then `_score`; empty if there are no predictions.
    pub drift: Vec<ColumnDrift>,
    /// Whether any column drifted.
    pub drifted: bool,
    /// Number of predictions whose label is known.
    pub labelled: u64,
    /// Metrics over the labelled predictions; empty if there are none.
    pub metrics: Metrics,
    /// Metrics of the version on its own holdout.
    pub training: Metrics,
    /// Data files, as in the window: those that a retraining would read.
    pub data_files: Vec<DataFile>,
}

/// The drift of one column against the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ColumnDrift {
    /// A feature, or `_score` for the predictions.
    pub column: String,
    /// The name of the drift method: see [`DriftMethod`](crate::spec::DriftMethod).
    pub method: String,
    /// The distance between window and reference, by that method; 0 if a side has no rows.
    pub statistic: f64,
    /// Statistic above which the column counts as drifted.
    pub threshold: f64,
    /// P-value, adjusted for all columns; `None` if there are too few blocks to judge.
    pub p_value: Option<f64>,
    /// Whether the statistic is above the threshold and could be judged.
    pub drifted: bool,
    /// Number of blocks in the window.
    pub blocks: u64,
}

/// The decision of `retrain` for a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetrainAction {
    /// A request was written.
    Train,
    /// Nothing to do.
    Keep,
}

/// The result of `retrain`, also stored create-only at `decisions/<model>/<start>.json`: the fold over windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RetrainDecision {
    /// The model that the decision is about.
    pub model: String,
    /// Start of the window.
    pub window: Timestamp,
    /// The clock of the report.
    pub as_of: Timestamp,
    /// Whether to train.
    pub decision: RetrainAction,
    /// All causes that hold, in this order: `first`, `drift`, `accuracy`, `rows`, `schedule`, `person`.
    pub causes: Vec<String>,
    /// The reason, for a person.
    pub reason: String,
    /// Key of the report that the decision is based on.
    pub report: Option<String>,
    /// Key of the request that was written; `None` for `keep`.
    pub request: Option<String>,
    /// Windows before this one that were not judged, the latest first: a stage ended in a dead letter for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<Timestamp>,
    /// Number of rows known at this decision.
    pub rows: u64,
    /// Number of rows known at the last decision to train, up to and including this one.
    pub trained_rows: u64,
    /// Window of the last decision to train, up to and including this one.
    pub trained: Option<Timestamp>,
}

/// `reports/<model>/<start>/not-judged.json` or `decisions/<model>/not-judged/<start>.json`: a stage ended in a dead letter for a window.
/// Later windows are decided without it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UnjudgedWindow {
    /// The model.
    pub model: String,
    /// Start of the window.
    pub window: Timestamp,
    /// Start of the window before it, if there is one.
    pub previous: Option<Timestamp>,
    /// The stage: `monitor` or `retrain`.
    pub stage: String,
    /// The error that it ended with.
    pub reason: String,
}

/// `requests/<model>/<start>.json`: a request to train on these data files. It triggers `featurize`; its cause is in the decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrainingRequest {
    /// The model to train.
    pub model: String,
    /// Start of the window that the request follows.
    pub window: Timestamp,
    /// The clock of the decision: the training does not see later rows.
    pub as_of: Timestamp,
    /// The data files to train on, by time, then digest.
    pub data_files: Vec<DataFile>,
}

/// The result of `train`, also stored at `candidates/<model>/<run>/training.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrainingResult {
    /// The model that was trained.
    pub model: String,
    /// The task, which determines what the label is.
    pub task: Task,
    /// `candidates/<model>/<run>/model.onnx`: input `features` f32 [n, k]; output `scores` f32 [n, classes], or [n, 1] for regression.
    pub onnx: String,
    /// SHA-256 of `onnx`.
    pub onnx_digest: Digest,
    /// The feature set that the model was trained on.
    pub features: super::FeatureSet,
    /// The trainer's parameters, as used.
    pub parameters: serde_json::Value,
    /// Number of rounds in the model; 0 for a model from elsewhere.
    pub rounds: u32,
    /// Importance by transformed column: its share of the total gain (trees) or |coefficient| (linear).
    pub importances: BTreeMap<String, f64>,
    /// Loss and metrics on the validation set.
    pub metrics: Metrics,
}

/// The result of `evaluate`, also stored at `evaluations/<model>/<run>/evaluation.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Evaluation {
    /// The candidate.
    pub training: TrainingResult,
    /// Metrics on the holdout.
    pub metrics: Metrics,
    /// Metrics of the champion on the same holdout.
    pub champion: Option<Metrics>,
    /// Version of the champion.
    pub champion_version: Option<u32>,
    /// Metrics by column of the model's `slices`, then by descending number of rows; only the most frequent values of a column.
    pub slices: Vec<MetricSlice>,
    /// One finding per failed gate; empty if the candidate passed.
    pub failed: Vec<Finding>,
}

/// One slice of the holdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MetricSlice {
    /// A column of the holdout.
    pub column: String,
    /// A value of the column as text; empty where it is missing.
    pub value: String,
    /// Number of holdout rows with this value.
    pub rows: u64,
    /// Metrics over those rows.
    pub metrics: Metrics,
}

/// The result of `register`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Registration {
    /// The model that has a new version.
    pub model: String,
    /// Number of the version: 1, 2, ….
    pub version: u32,
    /// Key of the version: `models/<model>/versions/<n>.json`.
    pub key: String,
    /// SHA-256 of the model file.
    pub onnx_digest: Digest,
}

/// `models/<model>/versions/<n>.json`, create-only: one version of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelVersion {
    /// The model's name in `tidemill.toml`.
    pub model: String,
    /// 1, 2, …, without gaps.
    pub version: u32,
    /// The clock of the registration.
    pub as_of: Timestamp,
    /// The task, which determines what the scores are.
    pub task: Task,
    /// Key of the model file; see [`TrainingResult::onnx`].
    pub onnx: String,
    /// SHA-256 of `onnx`.
    pub onnx_digest: Digest,
    /// Key of the feature transform that is applied before the model.
    pub transform: String,
    /// SHA-256 of `transform`.
    pub transform_digest: Digest,
    /// Key of the training profile, for drift.
    pub profile: String,
    /// The inputs that a request must hold.
    pub signature: Signature,
    /// The classes in the order of the scores; empty for regression.
    pub classes: Vec<String>,
    /// Metrics on the holdout.
    pub metrics: Metrics,
    /// Key of the evaluation, which leads to the training, the feature set, the request and the data files.
    pub evaluation: String,
    /// Key of the training request.
    pub request: String,
}

/// `models/<model>/aliases/<alias>.json`, moved by compare-and-swap: an alias of a version.
///
/// Its history is stored create-only at `models/<model>/aliases/<alias>/<n>.json`, where `n` is `moves`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelAlias {
    /// The model that the alias belongs to.
    pub model: String,
    /// `champion`, `challenger`, ….
    pub alias: String,
    /// The version that the alias points at.
    pub version: u32,
    /// SHA-256 of that version's model file.
    pub onnx_digest: Digest,
    /// Number of earlier moves.
    pub moves: u32,
    /// The clock of the version that the alias points at.
    pub as_of: Timestamp,
}
