//! Parts of datasets, their profiles, feature sets.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Digest, spec::ColumnType};

/// Facts of `validate`: one validated upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Part {
    pub dataset: String,
    /// `datasets/<dataset>/<run>/data.parquet`, ordered by time, then key.
    pub data: String,
    pub digest: Digest,
    /// `datasets/<dataset>/<run>/profile.json`.
    pub profile: String,
    pub rows: u64,
    /// Rows in quarantine, and where, if any.
    pub quarantined: u64,
    pub quarantine: Option<String>,
    /// Least and greatest event time.
    pub from: Timestamp,
    pub until: Timestamp,
}

/// What a table was like: enough for drift to be measured against it later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Profile {
    pub rows: u64,
    pub columns: BTreeMap<String, ColumnProfile>,
}

/// One column of a profile. Floats are exact JSON; NaN is counted with the nulls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct ColumnProfile {
    #[serde(rename = "type")]
    pub kind: ColumnType,
    pub nulls: u64,
    #[serde(flatten)]
    pub detail: ProfileKind,
}

/// Numbers (also integers, booleans as 0 and 1, timestamps as seconds) or categories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[allow(missing_docs)]
pub enum ProfileKind {
    Numeric {
        minimum: Option<f64>,
        maximum: Option<f64>,
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
    Categorical {
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
#[allow(missing_docs)]
pub struct SignatureColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ColumnType,
    pub nullable: bool,
}

/// Facts of `featurize`. The three tables have the same columns: key, time, features in signature order, label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct FeatureSet {
    /// The key of the request that asked for it.
    pub request: String,
    /// `features/<model>/<run>/train.parquet`, ordered by time, then key.
    pub train: String,
    pub stop: String,
    pub holdout: String,
    pub train_rows: u64,
    pub stop_rows: u64,
    pub holdout_rows: u64,
    /// `features/<model>/<run>/transform.json`: a `tidemill_ml::Transform`, fitted on `train` alone.
    pub transform: String,
    pub transform_digest: Digest,
    /// `features/<model>/<run>/profile.json`: the profile of the features over train, stop and holdout together, and
    /// `features/<model>/<run>/blocks.parquet`: their histogram by block, for the sampling error of drift.
    pub profile: String,
    pub signature: Signature,
    pub label: String,
    /// The label's classes as text, ascending; the last is the positive one. Empty for regression.
    pub classes: Vec<String>,
}
