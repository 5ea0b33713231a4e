//! Scoring an ONNX file inside the component: the judge of gates, the same on every machine.
//!
//! Files of our own trainer are read back into its model; all others go through tract, which is compiled in and takes one input
//! `features` f32 [batch, k] and gives f32 [batch, scores] first.

use std::sync::Arc;

use tidemill_core::{Error, Result};
use tract_onnx::{prelude::*, tract_hir::internal::*};

use crate::{Matrix, TrainedModel, onnx};

/// Rows that tract scores at once.
const CHUNK: usize = 4096;

/// A loaded model.
pub struct Scorer {
    plan: Plan,
    width: usize,
}

enum Plan {
    Own(TrainedModel),
    Tract(Arc<TypedRunnableModel>),
}

impl std::fmt::Debug for Scorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scorer").field("width", &self.width).finish_non_exhaustive()
    }
}

impl Scorer {
    /// Reads the file; an `Input` error if it is no model of this shape.
    pub fn new(onnx: &[u8]) -> Result<Self> {
        match onnx::read(onnx) {
            Some((model, width)) => Ok(Self {
                plan: Plan::Own(model),
                width,
            }),
            None => Self::with_tract(onnx),
        }
    }

    /// As [`new`](Self::new), but by tract whoever wrote the file.
    pub fn with_tract(onnx: &[u8]) -> Result<Self> {
        load(onnx).map_err(|error| {
            Error::input(format!(
                "the model cannot be scored: {error:#}; it must be an ONNX file with one input `features` and first the output `scores`, as `train` writes it"
            ))
        })
    }

    /// Columns that it takes.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows × scores, row-major, for a row-major matrix of `rows` rows.
    pub fn scores(&self, matrix: &[f32], rows: usize) -> Result<Vec<f32>> {
        if matrix.len() != rows * self.width {
            let (cells, width) = (matrix.len(), self.width);
            return Err(Error::input(format!("the model takes {rows} × {width} numbers, and got {cells}")));
        }
        let plan = match &self.plan {
            Plan::Own(model) => {
                return Ok(model.scores(&Matrix {
                    values: matrix.to_vec(),
                    width: self.width,
                }));
            }
            Plan::Tract(plan) => plan,
        };
        let mut scores = Vec::new();
        for chunk in matrix.chunks(CHUNK * self.width.max(1)) {
            let out = run(plan, chunk, self.width).map_err(|error| Error::input(format!("the model failed on these rows: {error:#}")))?;
            scores.extend(out);
        }
        Ok(scores)
    }
}

fn run(plan: &Arc<TypedRunnableModel>, matrix: &[f32], width: usize) -> TractResult<Vec<f32>> {
    let input = Tensor::from_shape(&[matrix.len() / width, width], matrix)?;
    let outputs = plan.run(tvec!(input.into()))?;
    let scores = outputs.first().context("it answers nothing")?;
    Ok(scores.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

fn load(mut onnx: &[u8]) -> TractResult<Scorer> {
    let mut graph = tract_onnx::onnx().model_for_read(&mut onnx)?;
    if graph.input_outlets()?.len() != 1 || graph.output_outlets()?.is_empty() {
        bail!("it does not have exactly one input, `features`, and an output, `scores`");
    }
    let shape = graph.input_fact(0)?.shape.clone();
    let width = shape.dim(1).and_then(|dim| dim.concretize()).and_then(|dim| dim.to_usize().ok());
    let Some(width) = width.filter(|width| *width > 0) else {
        bail!("its input does not say how many columns it takes")
    };
    let batch = graph.symbols.sym("batch");
    graph.set_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), [batch.to_dim(), width.to_dim()]))?;
    let plan = graph.into_optimized()?.into_runnable()?;
    Ok(Scorer {
        plan: Plan::Tract(plan),
        width,
    })
}
