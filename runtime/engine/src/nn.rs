//! `wasi:nn` for guests: wasmtime-wasi-nn over [`Graph`]s of ours.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use elsa::sync::FrozenMap;
use tidemill_core::{Digest, Error, Result};
use tidemill_nn::{Graph, GraphCache, Tensor};
use wasmtime_wasi_nn::{
    ExecutionContext, GraphRegistry, Tensor as WitTensor,
    backend::{BackendError, BackendExecutionContext, BackendFromDir, BackendGraph, BackendInner, Id, NamedTensor},
    wit::{ExecutionTarget, GraphEncoding, WasiNnCtx},
};

tidemill_nn::tensor_type_conversions!(wasmtime_wasi_nn::wit::TensorType);

/// Loads models for guests.
pub(crate) trait GraphLoader: Send + Sync + 'static {
    /// The graph of a file.
    fn load(&self, onnx: &[u8]) -> Result<Arc<dyn Graph>>;
    /// The graph of a file that was loaded before, by the file's digest.
    fn find(&self, digest: &Digest) -> Option<Arc<dyn Graph>>;
}

impl GraphLoader for GraphCache {
    fn load(&self, onnx: &[u8]) -> Result<Arc<dyn Graph>> {
        Ok(self.load("model.onnx", onnx)?.1)
    }
    fn find(&self, digest: &Digest) -> Option<Arc<dyn Graph>> {
        self.get(digest)
    }
}

/// The context of one instance. `found` counts the graphs that it holds for having been found by name.
pub(crate) fn new_context(loader: Arc<dyn GraphLoader>, found: Arc<AtomicUsize>) -> WasiNnCtx {
    let registry = Registry {
        loader: loader.clone(),
        by_name: FrozenMap::new(),
        found,
    };
    WasiNnCtx::new([Onnx(loader).into()], registry.into())
}

/// Lends graphs by name, which is the digest of the file.
struct Registry {
    loader: Arc<dyn GraphLoader>,
    /// Append-only, for what is borrowed from it stays: the context that holds it is replaced.
    by_name: FrozenMap<String, Box<wasmtime_wasi_nn::Graph>>,
    found: Arc<AtomicUsize>,
}

impl GraphRegistry for Registry {
    fn get(&self, name: &str) -> Option<&wasmtime_wasi_nn::Graph> {
        let graph = self.loader.find(&Digest::parse(name)?)?;
        self.found.fetch_add(1, Relaxed);
        Some(self.by_name.insert(name.to_owned(), Box::new(into_wit_graph(graph))))
    }
    fn get_mut(&mut self, _name: &str) -> Option<&mut wasmtime_wasi_nn::Graph> {
        None
    }
}

struct Onnx(Arc<dyn GraphLoader>);

impl BackendInner for Onnx {
    fn encoding(&self) -> GraphEncoding {
        GraphEncoding::Onnx
    }

    fn load(&mut self, builders: &[&[u8]], _target: ExecutionTarget) -> std::result::Result<wasmtime_wasi_nn::Graph, BackendError> {
        let [onnx] = builders else {
            return Err(BackendError::InvalidNumberOfBuilders(1, builders.len()));
        };
        self.0.load(onnx).map(into_wit_graph).map_err(backend_error)
    }

    fn as_dir_loadable(&mut self) -> Option<&mut dyn BackendFromDir> {
        None
    }
}

fn into_wit_graph(graph: Arc<dyn Graph>) -> wasmtime_wasi_nn::Graph {
    let graph: Box<dyn BackendGraph> = Box::new(SharedGraph(graph));
    graph.into()
}

#[derive(Clone)]
struct SharedGraph(Arc<dyn Graph>);

impl BackendGraph for SharedGraph {
    fn init_execution_context(&self) -> std::result::Result<ExecutionContext, BackendError> {
        let context: Box<dyn BackendExecutionContext> = Box::new(self.clone());
        Ok(context.into())
    }
}

impl BackendExecutionContext for SharedGraph {
    fn set_input(&mut self, _id: Id, _tensor: &WitTensor) -> std::result::Result<(), BackendError> {
        Err(backend_error(Error::bug("inputs are passed to compute")))
    }

    fn get_output(&mut self, _id: Id) -> std::result::Result<WitTensor, BackendError> {
        Err(backend_error(Error::bug("outputs are returned by compute")))
    }

    fn compute(&mut self, inputs: Option<Vec<NamedTensor>>) -> std::result::Result<Option<Vec<NamedTensor>>, BackendError> {
        let inputs = inputs
            .unwrap_or_default()
            .into_iter()
            .map(|named| Ok((named.name, tensor_from_wit(named.tensor)?)));
        let outputs = inputs.collect::<Result<Vec<_>>>().and_then(|inputs| self.0.compute(inputs));
        let outputs = outputs.map_err(backend_error)?.into_iter().map(|(name, tensor)| NamedTensor {
            name,
            tensor: tensor_to_wit(tensor),
        });
        Ok(Some(outputs.collect()))
    }
}

/// The one variant whose text reaches the guest, though behind words of its own, which [`tidemill_nn`] strips there.
fn backend_error(error: Error) -> BackendError {
    BackendError::UnsupportedTensorType(error.message)
}

fn tensor_from_wit(tensor: WitTensor) -> Result<Tensor> {
    Tensor::from_dimensions(&tensor.dimensions, type_from_wit(tensor.ty), tensor.data)
}

fn tensor_to_wit(tensor: Tensor) -> WitTensor {
    WitTensor::new(tensor.dimensions(), type_to_wit(tensor.kind), tensor.data)
}
