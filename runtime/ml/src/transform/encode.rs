//! From raw values to numbers, one row at a time. What a missing or unseen category gives is part of the fitted encoder.

use std::{borrow::Cow, collections::BTreeMap};
use tidemill_core::ColumnValues;

use serde::{Deserialize, Serialize};

/// How the inputs of a step become numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Encoder {
    /// As it is; missing is NaN.
    Number,
    /// 1 in the category's own column, else 0; all 0 for a missing or unseen one.
    OneHot {
        /// The category of each output.
        categories: Vec<String>,
    },
    /// A number by category: its rank, or the label's mean.
    Lookup {
        /// By category.
        values: BTreeMap<String, f64>,
        /// For a missing one; `None` = NaN.
        missing: Option<f64>,
        /// For one that the fit did not see; `None` = NaN.
        unseen: Option<f64>,
    },
    /// 1 in the column of the category's bucket; all 0 for a missing one.
    Hash {
        /// The number of outputs.
        buckets: u32,
    },
    /// Hour, minute of the hour, day of the week (Monday = 0), in UTC.
    TimeParts,
}

impl Encoder {
    /// One row's numbers, into `encoded` (as long as the step has outputs).
    pub(crate) fn encode(&self, inputs: &[&ColumnValues], row: usize, encoded: &mut [f64]) {
        match self {
            Self::Number => encoded[0] = inputs.first().map_or(f64::NAN, |v| v.number(row)),
            Self::OneHot { categories } => {
                encoded.fill(0.0);
                if let Some(category) = category(inputs, row)
                    && let Ok(index) = categories.binary_search_by(|c| c.as_str().cmp(&category))
                {
                    encoded[index] = 1.0;
                }
            }
            Self::Lookup { values, missing, unseen } => {
                let value = match category(inputs, row) {
                    Some(category) => values.get(category.as_ref()).copied().or(*unseen),
                    None => *missing,
                };
                encoded[0] = value.unwrap_or(f64::NAN);
            }
            Self::Hash { .. } => {
                encoded.fill(0.0);
                if let Some(category) = category(inputs, row) {
                    let bucket = hash(&category) % encoded.len() as u64;
                    encoded[bucket as usize] = 1.0;
                }
            }
            Self::TimeParts => time_parts(inputs, row, encoded),
        }
    }
}

/// The category of one column, or of a cross: `a × b`, missing if any of them is.
pub(crate) fn category<'a>(inputs: &[&'a ColumnValues], row: usize) -> Option<Cow<'a, str>> {
    if let [single] = inputs {
        return single.category(row);
    }
    let parts: Option<Vec<_>> = inputs.iter().map(|v| v.category(row)).collect();
    parts.map(|parts| Cow::Owned(parts.join(" × ")))
}

fn time_parts(inputs: &[&ColumnValues], row: usize, encoded: &mut [f64]) {
    let micros = match inputs {
        [ColumnValues::Timestamp(values)] => values[row],
        _ => None,
    };
    let Some(micros) = micros else { return encoded.fill(f64::NAN) };
    let minutes = micros.div_euclid(60_000_000);
    let days = minutes.div_euclid(24 * 60);
    // 1970-01-01 was a Thursday.
    let parts = [
        minutes.div_euclid(60).rem_euclid(24),
        minutes.rem_euclid(60),
        (days + 3).rem_euclid(7),
    ];
    for (cell, part) in encoded.iter_mut().zip(parts) {
        *cell = part as f64;
    }
}

/// FNV-1a, 64 bits, with a final mix so that the low bits depend on all.
fn hash(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}
