//! Features: which rows and columns they come from, how rows are split, and how values become numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// `[features.<name>]`, with its SQL file loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Features {
    /// The name of these features.
    pub name: String,
    /// The dataset that the features are computed from.
    pub dataset: String,
    /// One SELECT over the table named after the dataset. Its columns, except label, key and time, are the signature.
    pub sql: String,
    /// The column to predict; rows where it is null are not trained on.
    pub label: String,
    /// The event time column (the dataset's).
    pub time: String,
    /// The key columns (the dataset's).
    pub key: Vec<String>,
    /// The rows held out for evaluation.
    #[serde(default)]
    pub holdout: Holdout,
    /// The share of the non-holdout blocks that is held out from the fit to decide when training stops; default 0.1.
    #[serde(default = "default_validation_share")]
    pub validation_share: f64,
    /// Rules by column; a column without a rule follows its type (see [`TransformRule`]).
    #[serde(default)]
    pub transform: BTreeMap<String, TransformRule>,
}

pub(crate) fn default_validation_share() -> f64 {
    0.1
}

/// How rows are held out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Holdout {
    /// Whole blocks of event time, selected by hash (`"1 day"`): recent data is trained on, and no block is split. `None`: the latest share
    /// by time.
    #[serde(default)]
    pub block: Option<Span>,
    /// The share, 0 to 0.5; default 0.2.
    pub share: f64,
}

impl Default for Holdout {
    fn default() -> Self {
        Self { block: None, share: 0.2 }
    }
}

/// How one column of the signature becomes numbers.
///
/// Without a rule: numbers, integers and booleans pass unchanged (missing values as NaN; a linear trainer imputes the median and
/// standardises); text is one-hot encoded up to 8 categories, and becomes the label's smoothed mean above; timestamps become hour, minute
/// and weekday.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TransformRule {
    /// The encoding of categories (or of a timestamp).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// The replacement for a missing number; without it NaN stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impute: Option<Impute>,
    /// Whether to subtract the mean and divide by the standard deviation.
    #[serde(default)]
    pub standardise: bool,
    /// Whether to take the logarithm of 1 + x, for x ≥ 0.
    #[serde(default)]
    pub log: bool,
    /// Number of buckets of a hash encoding; default 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<u32>,
    /// For a column that is not in the signature: the columns whose values are joined (`a × b`) into one category.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cross: Vec<String>,
}

/// The encoding of categories as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// The number itself.
    Number,
    /// One column per category seen in the fit.
    OneHot,
    /// The category's rank by its frequency in the fit.
    Ordinal,
    /// The label's smoothed mean in the fit.
    Target,
    /// A hash into buckets, with one column per bucket.
    Hash,
    /// Hour, minute of hour, day of week.
    TimeParts,
}

/// The replacement for a missing number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Impute {
    /// The mean of the fit.
    Mean,
    /// The median of the fit.
    Median,
    /// A constant.
    Constant(f64),
}
