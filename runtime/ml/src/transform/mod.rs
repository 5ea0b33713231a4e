//! The fitted feature transform: raw columns in, `f32` out. One object with the model and one piece of code, in `featurize`,
//! `train`, `evaluate` and `predict`.
//!
//! It is no part of the ONNX file. A category that the fit did not see, and a missing one: all zeros for one-hot and hash (missing
//! only), the prior for target, NaN for ordinal (−1 with a linear trainer).

mod encode;
mod fit;

use serde::{Deserialize, Serialize};
use tidemill_core::{Error, Result, record::Signature};

pub use encode::Encoder;

use crate::Columns;

/// Raw columns of a signature to a row-major `f32` matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Transform {
    /// 1: how this object is to be read.
    format: u32,
    signature: Signature,
    steps: Vec<Step>,
}

/// One or several columns to one or several numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Step {
    inputs: Vec<String>,
    encoder: Encoder,
    outputs: Vec<Output>,
}

/// What happens to one encoded number: logarithm, then imputation, then shift and scale.
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
    /// Reads `transform.json`.
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

    /// Writes `transform.json`; equal transforms give equal bytes.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| Error::bug(format!("the transform cannot be written: {e}")))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The columns that it takes.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The number of columns that it gives.
    pub fn width(&self) -> usize {
        self.steps.iter().map(|step| step.outputs.len()).sum()
    }

    /// The names of the columns that it gives: `distance`, `carrier=UA`, `departure:hour`.
    pub fn names(&self) -> Vec<String> {
        self.steps.iter().flat_map(|s| &s.outputs).map(|o| o.name.clone()).collect()
    }

    /// Rows × [`width`](Self::width), row-major. A column that is missing, or has a type that the signature does not have, is an
    /// `Input` error; integers stand for numbers, and numbers without a fraction for integers.
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

fn is_numeric(kind: tidemill_core::spec::ColumnType) -> bool {
    use tidemill_core::spec::ColumnType;
    matches!(kind, ColumnType::Number | ColumnType::Integer)
}
