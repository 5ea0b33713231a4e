//! Parts of datasets, their profiles, feature sets.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Digest, spec::ColumnType};

/// Facts of `validate`: one validated upload.
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
    /// Good rows: those in `data`.
    pub rows: u64,
    /// Rows that a check put aside.
    pub quarantined: u64,
    /// `quarantine/<dataset>/<run>/rejected.parquet` with those rows; `None` if there are none.
    pub quarantine: Option<String>,
    /// Least event time.
    pub from: Timestamp,
    /// Greatest event time; also the part's `as-of`.
    pub until: Timestamp,
}

/// What a table was like: enough for drift to be measured against it later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Profile {
    /// All rows, nulls included.
    pub rows: u64,
    /// By column name.
    pub columns: BTreeMap<String, ColumnProfile>,
}

/// One column of a profile. Floats are written with all their digits, and read back to within the last; NaN is counted with the nulls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ColumnProfile {
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Rows without a value.
    pub nulls: u64,
    /// The values.
    #[serde(flatten)]
    pub detail: ProfileKind,
}

/// Numbers (also integers, booleans as 0 and 1, timestamps as seconds) or categories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum ProfileKind {
    /// Of what has an order and distances.
    Numeric {
        /// `None` without values, as `maximum` and `mean`.
        minimum: Option<f64>,
        /// In the column's own unit; seconds for timestamps.
        maximum: Option<f64>,
        /// Arithmetic mean.
        mean: Option<f64>,
        /// Population standard deviation.
        deviation: Option<f64>,
        /// Quantiles at 0, 1/20, …, 1 (21 values); empty without values.
        quantiles: Vec<f64>,
        /// Inner edges of the histogram, ascending and distinct: a value x is in bin i where `edges[i-1] <= x < edges[i]`.
        edges: Vec<f64>,
        /// One count a bin: `edges.len() + 1`.
        counts: Vec<u64>,
    },
    /// Of text.
    Categorical {
        /// How many different values there are.
        distinct: u64,
        /// The most frequent values (at most 200) with their counts, descending, then by value.
        top: Vec<(String, u64)>,
        /// Non-null rows with other values.
        other: u64,
    },
}

/// What a model takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Signature {
    /// Features, in the order of the feature SQL.
    pub inputs: Vec<SignatureColumn>,
    /// Key and time columns that a request may carry beside them, so that the truth can be joined later.
    pub context: Vec<SignatureColumn>,
}

/// One column of a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignatureColumn {
    /// As a request names it.
    pub name: String,
    /// What a request's value is read as.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Whether a request may leave it out or send null.
    pub nullable: bool,
}

/// Facts of `featurize`. The three tables have the same columns: key, time, features in signature order, label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FeatureSet {
    /// The key of the request that asked for it.
    pub request: String,
    /// `features/<model>/<run>/train.parquet`, ordered by time, then key.
    pub train: String,
    /// `validation.parquet` beside it: the rows that decide when training stops.
    pub validation: String,
    /// `holdout.parquet` beside it: the rows that gates judge by, never trained on.
    pub holdout: String,
    /// Rows of `train`.
    pub train_rows: u64,
    /// Rows of `stop`.
    pub validation_rows: u64,
    /// Rows of `holdout`.
    pub holdout_rows: u64,
    /// `features/<model>/<run>/transform.json`: a `tidemill_ml::Transform`, fitted on `train` alone.
    pub transform: String,
    /// SHA-256 of `transform`.
    pub transform_digest: Digest,
    /// `features/<model>/<run>/profile.json`: the profile of the features over train, stop and holdout together, and
    /// `features/<model>/<run>/blocks.parquet`: their histogram by block, for the sampling error of drift.
    pub profile: String,
    /// What a request to the model must hold, before the transform.
    pub signature: Signature,
    /// The label's column in all three tables.
    pub label: String,
    /// The label's classes as text, ascending; the last is the positive one. Empty for regression.
    pub classes: Vec<String>,
}
