//! `wasi:nn` as a [`Backend`], from inside a component. The host, or the component that is composed in, chooses the engine.

use std::sync::Arc;

use tidemill_core::{Digest, Error, Result};

use crate::{Backend, Graph, Tensor};

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
#[allow(unsafe_code, reason = "imports are raw pointers underneath, in generated code alone")]
mod bindings {
    wit_bindgen::generate!({ path: "../wit/wasi-nn", world: "ml" });
}

use bindings::wasi::nn::{errors, graph, inference, tensor};

crate::tensor_type_conversions!(bindings::wasi::nn::tensor::TensorType);

/// Runs ONNX through the component's imports.
#[derive(Debug, Clone, Copy, Default)]
pub struct WasiNn;

impl WasiNn {
    /// The graph that the host has loaded already, by the SHA-256 of its file; `None` if it has not, or dropped it.
    pub fn find(&self, model: &str, digest: &Digest) -> Option<Result<Arc<dyn Graph>>> {
        let graph = graph::load_by_name(digest.as_str()).ok()?;
        Some(start(model, &graph))
    }
}

impl Backend for WasiNn {
    fn load(&self, model: &str, bytes: &[u8]) -> Result<Arc<dyn Graph>> {
        let loaded = graph::load(&[bytes.to_vec()], graph::GraphEncoding::Onnx, graph::ExecutionTarget::Cpu);
        start(model, &loaded.map_err(|error| convert_error(model, &error))?)
    }
}

fn start(model: &str, graph: &graph::Graph) -> Result<Arc<dyn Graph>> {
    let context = graph.init_execution_context().map_err(|error| convert_error(model, &error))?;
    Ok(Arc::new(WasiGraph {
        model: model.to_owned(),
        context,
    }))
}

struct WasiGraph {
    model: String,
    context: inference::GraphExecutionContext,
}

impl Graph for WasiGraph {
    fn compute(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>> {
        let inputs: Vec<_> = inputs.into_iter().map(|(name, tensor)| (name, to_wit(tensor))).collect();
        let outputs = self.context.compute(inputs).map_err(|error| convert_error(&self.model, &error))?;
        let outputs = outputs.into_iter().map(|(name, tensor)| Ok((name, from_wit(&tensor)?)));
        outputs.collect()
    }
}

/// What wasmtime-wasi-nn says before every message of ours.
const HOST_PREFIX: &str = "Unsupported tensor type: ";

/// Hosts do not know the file's name: they call it `model.onnx`. A host that has more to say than that the model is at fault ends the run.
fn convert_error(model: &str, error: &errors::Error) -> Error {
    let (message, name) = (error.data(), format!("`{model}`"));
    let message = message.strip_prefix(HOST_PREFIX).unwrap_or(&message);
    match message.replace("`model.onnx`", &name) {
        named if named != message => Error::input(named),
        _ => Error::input(format!("{name} cannot be run: {message}")),
    }
}

fn to_wit(tensor: Tensor) -> tensor::Tensor {
    tensor::Tensor::new(&tensor.dimensions(), type_to_wit(tensor.kind), &tensor.data)
}

fn from_wit(tensor: &tensor::Tensor) -> Result<Tensor> {
    Tensor::from_dimensions(&tensor.dimensions(), type_from_wit(tensor.ty()), tensor.data())
}
