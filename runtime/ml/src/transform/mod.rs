//! The fitted feature transform: from raw columns to `f32`. `featurize`, `train`, `evaluate` and `predict` share the object and the code.
//!
//! The transform is not part of the ONNX file. A missing or unseen category gives all zeros for one-hot and hash (missing only), the prior
//! for target, and NaN for ordinal (−1 with a linear trainer).

mod fit;

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use tidemill_core::{ColumnValues, Error, Result, record::Signature, spec::ColumnType};

use crate::Columns;

/// A transform from the raw columns of a signature to a row-major `f32` matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Transform {
    /// Version of the object's format: 1.
    format: u32,
    signature: Signature,
    steps: Vec<Step>,
}

/// A step from one or several columns to one or several numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Step {
    inputs: Vec<String>,
    encoder: Encoder,
    outputs: Vec<Output>,
}

/// The processing of one encoded number: logarithm, then imputation, then shift and scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Output {
    name: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    log: bool,
    /// In the unit after the logarithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    impute: Option<f64>,
    /// Mean and standard deviation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    standardise: Option<(f64, f64)>,
}

impl Output {
    fn apply_log(&self, value: f64) -> f64 {
        match self.log {
            true if value >= 0.0 => libm::log1p(value),
            true => f64::NAN,
            false => value,
        }
    }
    fn finish(&self, value: f64) -> f32 {
        let mut value = self.apply_log(value);
        if value.is_nan() {
            value = self.impute.unwrap_or(f64::NAN);
        }
        if let Some((mean, deviation)) = self.standardise {
            value = (value - mean) / deviation;
        }
        value as f32
    }
}

impl Transform {
    /// Parses `transform.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let transform: Self = serde_json::from_slice(bytes).map_err(|e| Error::input(format!("this is not a transform: {e}")))?;
        if transform.format != 1 {
            let format = transform.format;
            return Err(Error::input(format!(
                "the transform has format `{format}`, and only 1 can be read; use a newer Tidemill"
            )));
        }
        Ok(transform)
    }

    /// Serializes `transform.json`; equal transforms give equal bytes.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| Error::bug(format!("the transform cannot be written: {e}")))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The input columns.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Number of output columns.
    pub fn width(&self) -> usize {
        self.steps.iter().map(|step| step.outputs.len()).sum()
    }

    /// Names of the output columns: `distance`, `carrier=UA`, `departure:hour`.
    pub fn names(&self) -> Vec<String> {
        self.steps.iter().flat_map(|s| &s.outputs).map(|o| o.name.clone()).collect()
    }

    /// Applies the transform: rows × [`width`](Self::width), row-major. A missing column, or one whose type differs from the signature, is
    /// an `Input` error; integers are accepted for numbers, and numbers without a fraction for integers.
    pub fn apply(&self, columns: &Columns) -> Result<Vec<f32>> {
        for input in &self.signature.inputs {
            let kind = columns.require(&input.name)?.column_type();
            if kind != input.kind && !(is_numeric(kind) && is_numeric(input.kind)) {
                let (name, found, wanted) = (&input.name, kind.sql_type(), input.kind.sql_type());
                return Err(Error::input(format!(
                    "column `{name}` has the type `{found}`, and the model was trained on `{wanted}`"
                )));
            }
        }
        let (rows, width) = (columns.rows(), self.width());
        let mut matrix = vec![f32::NAN; rows * width];
        let mut offset = 0;
        for step in &self.steps {
            let inputs = step.inputs.iter().map(|name| columns.require(name)).collect::<Result<Vec<_>>>()?;
            let mut encoded = vec![0.0; step.outputs.len()];
            for row in 0..rows {
                step.encoder.encode(&inputs, row, &mut encoded);
                let target = &mut matrix[row * width + offset..][..encoded.len()];
                for ((cell, value), output) in target.iter_mut().zip(&encoded).zip(&step.outputs) {
                    *cell = output.finish(*value);
                }
            }
            offset += step.outputs.len();
        }
        Ok(matrix)
    }
}

fn is_numeric(kind: ColumnType) -> bool {
    matches!(kind, ColumnType::Number | ColumnType::Integer)
}

/// The encoding of a step's inputs as numbers, one row at a time. The values of missing and unseen categories are part of the fitted
/// encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Encoder {
    /// The number itself; missing is NaN.
    Number,
    /// 1 in the category's own column, else 0; all 0 for a missing or unseen category.
    OneHot {
        /// The category of each output.
        categories: Vec<String>,
    },
    /// A number by category: its rank, or the label's mean.
    Lookup {
        /// Numbers by category.
        values: BTreeMap<String, f64>,
        /// The number for a missing category; `None` = NaN.
        missing: Option<f64>,
        /// The number for a category that the fit did not see; `None` = NaN.
        unseen: Option<f64>,
    },
    /// 1 in the column of the category's bucket; all 0 for a missing category.
    Hash {
        /// Number of outputs.
        buckets: u32,
    },
    /// Hour, minute of the hour, day of the week (Monday = 0), in UTC.
    TimeParts,
}

impl Encoder {
    /// Encodes one row into `encoded`, which has one entry per output of the step.
    fn encode(&self, inputs: &[&ColumnValues], row: usize, encoded: &mut [f64]) {
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

/// The category of one column, or of a cross: `a × b`, missing if any column is missing.
fn category<'a>(inputs: &[&'a ColumnValues], row: usize) -> Option<Cow<'a, str>> {
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

/// FNV-1a, 64 bits, with a final mix so that the low bits depend on all bits.
fn hash(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}
