//! ONNX by tract, in pure Rust. The first dimension of an input is the batch where the file leaves it open.

use std::sync::Arc;

use tidemill_core::{Error, Result};
use tract_onnx::{prelude::*, tract_hir::infer::Factoid as _};

use crate::{Backend, ElementType, Graph, ModelMetadata, Tensor, arrange};

/// Runs ONNX models with tract.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tract;

struct TractGraph {
    model: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    plan: Arc<TypedRunnableModel>,
}

impl Backend for Tract {
    fn load(&self, model: &str, bytes: &[u8]) -> Result<Arc<dyn Graph>> {
        // tract's own message does not name a missing operator.
        let foreign = |error: TractError| match ModelMetadata::read(model, bytes).map(|declared| declared.check_operators(model)) {
            Ok(Err(lacking)) => lacking,
            _ => Error::input(format!("`{model}` is not an ONNX model that can be run: {error:#}")),
        };
        if bytes.is_empty() {
            return Err(Error::input(format!("`{model}` is not an ONNX model: it is empty")));
        }
        // A panic of the parser must not end the process.
        let read = std::panic::catch_unwind(|| read_graph(model, bytes));
        let graph = read.map_err(|_| Error::input(format!("`{model}` is not an ONNX model: reading it failed")))?;
        Ok(Arc::new(graph.map_err(foreign)?))
    }
}

fn read_graph(model: &str, mut bytes: &[u8]) -> TractResult<TractGraph> {
    let mut graph = tract_onnx::onnx().model_for_read(&mut bytes)?;
    let name = |outlet: &OutletId, graph: &InferenceModel| {
        graph
            .outlet_label(*outlet)
            .map_or_else(|| graph.node(outlet.node).name.clone(), str::to_owned)
    };
    let inputs: Vec<String> = graph.input_outlets()?.iter().map(|o| name(o, &graph)).collect();
    let outputs: Vec<String> = graph.output_outlets()?.iter().map(|o| name(o, &graph)).collect();
    if inputs.is_empty() || outputs.is_empty() {
        return Err(TractError::msg(format!(
            "it has no {}",
            if inputs.is_empty() { "inputs" } else { "outputs" }
        )));
    }
    let batch = graph.symbols.sym("batch");
    for index in 0..inputs.len() {
        let mut fact = graph.input_fact(index)?.clone();
        if fact.shape.rank().concretize().is_some_and(|rank| rank > 0) && fact.shape.dim(0).is_some_and(|d| d.concretize().is_none()) {
            fact.shape.set_dim(0, batch.clone().into());
            graph.set_input_fact(index, fact)?;
        }
    }
    let plan = graph.into_optimized()?.into_runnable()?;
    Ok(TractGraph {
        model: model.to_owned(),
        inputs,
        outputs,
        plan,
    })
}

impl Graph for TractGraph {
    fn compute(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>> {
        let unfit = |error: TractError| Error::input(format!("model `{}` cannot take these inputs: {error:#}", self.model));
        let inputs = arrange(&self.model, &self.inputs, inputs)?;
        let values = inputs
            .into_iter()
            .map(into_value)
            .collect::<TractResult<TVec<TValue>>>()
            .map_err(unfit)?;
        // Nor must a panic of a model that loads and fails as it runs.
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.plan.run(values)));
        let outputs = run
            .map_err(|_| Error::input(format!("model `{}` cannot take these inputs: running it failed", self.model)))?
            .map_err(unfit)?;
        let outputs = outputs
            .iter()
            .map(|value| from_value(value))
            .collect::<TractResult<Vec<_>>>()
            .map_err(unfit)?;
        Ok(self.outputs.iter().cloned().zip(outputs).collect())
    }
}

fn into_value(tensor: Tensor) -> TractResult<TValue> {
    let shape = &tensor.shape;
    Ok(match tensor.kind {
        ElementType::F16 => to_tract_value(shape, tensor.map_elements(|b: [u8; 2]| f16::from_le_bytes(b)))?,
        ElementType::F32 => to_tract_value(shape, tensor.map_elements(f32::from_le_bytes))?,
        ElementType::F64 => to_tract_value(shape, tensor.map_elements(f64::from_le_bytes))?,
        // Tract has no bf16: f32 holds each of its values exactly.
        ElementType::Bf16 => to_tract_value(shape, tensor.map_elements(|b: [u8; 2]| half::bf16::from_le_bytes(b).to_f32()))?,
        ElementType::U8 => to_tract_value(shape, tensor.data)?,
        ElementType::I32 => to_tract_value(shape, tensor.map_elements(i32::from_le_bytes))?,
        ElementType::I64 => to_tract_value(shape, tensor.map_elements(i64::from_le_bytes))?,
    })
}

fn to_tract_value<T: Datum + Copy>(shape: &[usize], values: Vec<T>) -> TractResult<TValue> {
    Ok(tract_onnx::prelude::Tensor::from_shape(shape, &values)?.into())
}

fn from_value(value: &tract_onnx::prelude::Tensor) -> TractResult<Tensor> {
    let kind = match value.datum_type() {
        DatumType::F16 => ElementType::F16,
        DatumType::F32 => ElementType::F32,
        DatumType::F64 => ElementType::F64,
        DatumType::U8 => ElementType::U8,
        DatumType::I32 => ElementType::I32,
        DatumType::I64 => ElementType::I64,
        DatumType::Bool => ElementType::U8,
        other => {
            return Err(TractError::msg(format!(
                "an output is of type {other:?}, which wasi:nn does not have"
            )));
        }
    };
    let value = if value.datum_type() == DatumType::Bool {
        value.cast_to::<u8>()?.into_owned()
    } else {
        value.clone()
    };
    Ok(Tensor {
        shape: value.shape().to_vec(),
        kind,
        data: value.as_bytes().to_vec(),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A model `scores = features + features` on f32 [n, 2], as protobuf by hand.
    pub(crate) fn doubling() -> Vec<u8> {
        fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
            let mut out = vec![number << 3 | 2, bytes.len() as u8];
            out.extend_from_slice(bytes);
            out
        }
        fn number(number: u8, value: u8) -> Vec<u8> {
            vec![number << 3, value]
        }
        fn value(name: &[u8]) -> Vec<u8> {
            let dims = [field(1, &field(2, b"n")), field(1, &number(1, 2))].concat();
            let tensor = [number(1, 1), field(2, &dims)].concat();
            [field(1, name), field(2, &field(1, &tensor))].concat()
        }
        let node = [field(1, b"features"), field(1, b"features"), field(2, b"scores"), field(4, b"Add")].concat();
        let graph = [
            field(1, &node),
            field(2, b"g"),
            field(11, &value(b"features")),
            field(12, &value(b"scores")),
        ]
        .concat();
        [number(1, 8), field(7, &graph), field(8, &number(2, 13))].concat()
    }

    #[test]
    fn batches_of_any_length() {
        let graph = Tract.load("m", &doubling()).unwrap();
        for rows in [1usize, 3, 100] {
            let input = Tensor::from_f32(vec![rows, 2], &vec![1.25; rows * 2]).unwrap();
            let output = graph.compute(vec![("features".into(), input)]).unwrap();
            assert_eq!(output[0].0, "scores");
            assert_eq!(output[0].1.shape, [rows, 2]);
            assert!(output[0].1.to_f64().unwrap().iter().all(|v| *v == 2.5));
        }
    }

    #[test]
    fn wrong_inputs_are_named() {
        let graph = Tract.load("m", &doubling()).unwrap();
        let row = || Tensor::from_f32(vec![1, 2], &[1.0, 2.0]).unwrap();
        let error = graph.compute(vec![("x".into(), row())]).unwrap_err();
        assert!(error.message.contains("`features`"), "{error}");
        let error = graph.compute(vec![("features".into(), row()), ("x".into(), row())]).unwrap_err();
        assert!(error.message.contains("no input `x`"), "{error}");
        let wide = Tensor::from_f32(vec![1, 3], &[1.0; 3]).unwrap();
        assert!(graph.compute(vec![("features".into(), wide)]).is_err());
    }

    #[test]
    fn run_keys_name_this_version_of_tract() {
        let lock = include_str!("../../../Cargo.lock");
        let package = lock
            .split("[[package]]")
            .find(|package| package.contains("name = \"tract-onnx\""))
            .unwrap();
        let version = package.split('"').nth(3).unwrap();
        assert!(tidemill_run::ENGINES.contains(&format!("tract {version}")), "{version}");
    }
}
