//! Scoring an ONNX file with tract, compiled in: the judge of gates, the same on every machine.
//!
//! It takes our own files: one input `features` f32 [batch, k], the first output f32 [batch, scores].

use std::sync::Arc;

use tidemill_core::{Error, Result};
use tract_onnx::{prelude::*, tract_hir::internal::*};

/// Rows that are scored at once.
const CHUNK: usize = 4096;

/// A loaded model.
pub struct Scorer {
    plan: Arc<TypedRunnableModel>,
    width: usize,
}

impl std::fmt::Debug for Scorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scorer").field("width", &self.width).finish_non_exhaustive()
    }
}

impl Scorer {
    /// Reads the file; an `Input` error if it is not a model of ours.
    pub fn new(onnx: &[u8]) -> Result<Self> {
        load(onnx).map_err(|error| {
            Error::input(format!(
                "the model cannot be scored: {error:#}; it must be an ONNX file as `train` writes it"
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
        let mut scores = Vec::new();
        for chunk in matrix.chunks(CHUNK * self.width.max(1)) {
            let out = self
                .chunk(chunk)
                .map_err(|error| Error::input(format!("the model failed on these rows: {error:#}")))?;
            scores.extend(out);
        }
        Ok(scores)
    }

    fn chunk(&self, matrix: &[f32]) -> TractResult<Vec<f32>> {
        let input = Tensor::from_shape(&[matrix.len() / self.width, self.width], matrix)?;
        let outputs = self.plan.run(tvec!(input.into()))?;
        let scores = outputs.first().context("it answers nothing")?;
        Ok(scores.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    }
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
    Ok(Scorer { plan, width })
}
