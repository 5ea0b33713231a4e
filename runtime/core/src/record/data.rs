//! Data files of datasets, their profiles, and feature sets.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Digest, spec::ColumnType};

/// The result of `validate`: one validated upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DataFile {
    /// The dataset's name in `tidemill.toml`.
    pub dataset: String,
    /// `datasets/<dataset>/<run>/data.parquet`, ordered by time, then key.
    pub data: String,
    /// SHA-256 of `data`.
    pub digest: Digest,
    /// `datasets/<dataset>/<run>/profile.json`.
    pub profile: String,
    /// Number of valid rows: those in `data`.
    pub rows: u64,
    /// Number of rows that a check moved to quarantine.
    pub quarantined: u64,
    /// `quarantine/<dataset>/<run>/rejected.parquet` with those rows; `None` if there are none.
    pub quarantine: Option<String>,
    /// Earliest event time.
    pub from: Timestamp,
    /// Latest event time; also the data file's `as-of`.
    pub until: Timestamp,
    /// Where the rows lie between the two, by time, if they leave gaps; see [`row_spans`](Self::row_spans).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<RowSpan>,
}

/// Rows of a data file without a large gap between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RowSpan {
    /// Earliest event time.
    pub from: Timestamp,
    /// Latest event time.
    pub until: Timestamp,
    /// Number of rows.
    pub rows: u64,
}

impl DataFile {
    /// Where the rows lie, by time: at least one span.
    pub fn row_spans(&self) -> Vec<RowSpan> {
        match self.spans.is_empty() {
            false => self.spans.clone(),
            true => vec![RowSpan {
                from: self.from,
                until: self.until,
                rows: self.rows,
            }],
        }
    }
}

/// The profile of a table: enough to measure drift against it later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Profile {
    /// Number of rows, including those with nulls.
    pub rows: u64,
    /// Column profiles by column name.
    pub columns: BTreeMap<String, ColumnProfile>,
}

/// The profile of one column. Floats are written with all their digits and read back to within the last one. NaN is counted as null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ColumnProfile {
    /// Type of the values.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Number of rows without a value.
    pub nulls: u64,
    /// Distribution of the values.
    #[serde(flatten)]
    pub detail: ProfileKind,
}

/// The distribution of numbers (also integers, booleans as 0 and 1, and timestamps as seconds) or of categories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum ProfileKind {
    /// The distribution of values that have an order and distances.
    Numeric {
        /// Smallest value; like `maximum` and `mean`, `None` if there are no values.
        minimum: Option<f64>,
        /// Greatest value, in the column's own unit; seconds for timestamps.
        maximum: Option<f64>,
        /// Arithmetic mean.
        mean: Option<f64>,
        /// Population standard deviation.
        deviation: Option<f64>,
        /// Quantiles at 0, 1/20, …, 1 (21 values); empty without values.
        quantiles: Vec<f64>,
        /// Inner edges of the histogram, ascending and distinct: a value x is in bin i where `edges[i-1] <= x < edges[i]`.
        edges: Vec<f64>,
        /// One count per bin: `edges.len() + 1`.
        counts: Vec<u64>,
    },
    /// The distribution of text.
    Categorical {
        /// Number of distinct values.
        distinct: u64,
        /// The most frequent values (at most 200) with their counts, by descending count, then by value.
        top: Vec<(String, u64)>,
        /// Number of non-null rows with other values.
        other: u64,
    },
}

/// The inputs of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Signature {
    /// Features, in the order of the feature SQL.
    pub inputs: Vec<SignatureColumn>,
    /// Key and time columns that a request may also carry, so that the labels can be joined later.
    pub context: Vec<SignatureColumn>,
}

/// One column of a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignatureColumn {
    /// The column's name in a request.
    pub name: String,
    /// The type that a request's value is read as.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Whether a request may omit the column or send null.
    pub nullable: bool,
}

/// The result of `featurize`. The three tables have the same columns: key, time, features in signature order, label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FeatureSet {
    /// Key of the training request.
    pub request: String,
    /// `features/<model>/<run>/train.parquet`, ordered by time, then key.
    pub train: String,
    /// `validation.parquet` in the same folder: the rows that decide when training stops.
    pub validation: String,
    /// `holdout.parquet` in the same folder: the rows that gates are evaluated on; never trained on.
    pub holdout: String,
    /// Number of rows of `train`.
    pub train_rows: u64,
    /// Number of rows of `validation`.
    pub validation_rows: u64,
    /// Number of rows of `holdout`.
    pub holdout_rows: u64,
    /// `features/<model>/<run>/transform.json`: a `tidemill_ml::Transform`, fitted on `train` alone.
    pub transform: String,
    /// SHA-256 of `transform`.
    pub transform_digest: Digest,
    /// `features/<model>/<run>/profile.json`: the profile of the features over train, validation and holdout together.
    /// `features/<model>/<run>/blocks.parquet` holds their histogram by block, for the sampling error of drift.
    pub profile: String,
    /// The inputs that a request to the model must hold, before the transform.
    pub signature: Signature,
    /// Name of the label column in all three tables.
    pub label: String,
    /// The label's classes as text, ascending; the last is the positive one. Empty for regression.
    pub classes: Vec<String>,
}
