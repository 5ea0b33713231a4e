//! Features: which rows and columns, how they are split, how they become numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// `[features.<name>]`, with its SQL read in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Features {
    /// The name of these features.
    pub name: String,
    /// The dataset that they are made from.
    pub dataset: String,
    /// One SELECT over the table named like the dataset. Its columns, less label, key and time, are the signature.
    pub sql: String,
    /// The column to predict; rows where it is null are not trained on.
    pub label: String,
    /// The event time column (the dataset's).
    pub time: String,
    /// The key columns (the dataset's).
    pub key: Vec<String>,
    /// What is kept apart to judge with.
    #[serde(default)]
    pub holdout: Holdout,
    /// What is kept apart from the fit to stop the training with: a share of the blocks that are not holdout; default 0.1.
    #[serde(default = "default_validation_share")]
    pub validation_share: f64,
    /// Rules by column; the rest follows from the column's type (see [`TransformRule`]).
    #[serde(default)]
    pub transform: BTreeMap<String, TransformRule>,
}

pub(crate) fn default_validation_share() -> f64 {
    0.1
}

/// How rows are kept apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Holdout {
    /// Whole blocks of event time by hash (`"1 day"`): recent data is trained on, no block is split. `None`: the latest share by time.
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
/// Without a rule: numbers, integers and booleans pass (missing as NaN; a linear trainer imputes the median and standardises),
/// text is one-hot up to 8 categories and ordinal by the label's mean above, timestamps become hour, minute and weekday.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TransformRule {
    /// How categories (or a timestamp) are encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// What stands for a missing number; without it NaN stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impute: Option<Impute>,
    /// Less the mean, over the standard deviation.
    #[serde(default)]
    pub standardise: bool,
    /// The logarithm of 1 + x, for x ≥ 0.
    #[serde(default)]
    pub log: bool,
    /// Buckets of a hashing encoding; default 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<u32>,
    /// For a column that is not in the signature: the columns whose values are joined (`a × b`) into one category.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cross: Vec<String>,
}

/// How categories become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// As it is (numbers).
    Number,
    /// One column a category seen in the fit.
    OneHot,
    /// The category's rank by its share of the fit.
    Ordinal,
    /// The label's smoothed mean in the fit.
    Target,
    /// A hash into buckets, one column each.
    Hash,
    /// Hour, minute of hour, day of week.
    TimeParts,
}

/// What stands for a missing number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Impute {
    /// The fit's mean.
    Mean,
    /// The fit's median.
    Median,
    /// A constant.
    Constant(f64),
}
