//! wasi:nn over the host's engines. Graphs are shared by all instances; a component loads bytes once, then everybody finds
//! the graph by the SHA-256 of its file.

use std::sync::Arc;

use elsa::sync::FrozenMap;
use tidemill_host::nn::{ElementType, GraphCache, Tensor};
use wasmtime_wasi_nn::{
    ExecutionContext, Graph, GraphRegistry, Tensor as WitTensor,
    backend::{BackendError, BackendExecutionContext, BackendFromDir, BackendGraph, BackendInner, Id, NamedTensor},
    wit::{ExecutionTarget, GraphEncoding, TensorType, WasiNnCtx},
};

/// Graphs by digest; append-only, so that what is borrowed from it stays.
pub(super) struct Loaded {
    graphs: GraphCache,
    by_name: FrozenMap<String, Box<Graph>>,
}

impl Loaded {
    pub(super) fn new(graphs: GraphCache) -> Arc<Self> {
        Arc::new(Self {
            graphs,
            by_name: FrozenMap::new(),
        })
    }

    /// The context of one instance.
    pub(super) fn context(self: &Arc<Self>) -> WasiNnCtx {
        WasiNnCtx::new([Onnx(self.clone()).into()], Registry(self.clone()).into())
    }
}

struct Registry(Arc<Loaded>);

impl GraphRegistry for Registry {
    fn get(&self, name: &str) -> Option<&Graph> {
        self.0.by_name.get(name)
    }
    fn get_mut(&mut self, _name: &str) -> Option<&mut Graph> {
        None
    }
}

struct Onnx(Arc<Loaded>);

impl BackendInner for Onnx {
    fn encoding(&self) -> GraphEncoding {
        GraphEncoding::Onnx
    }

    fn load(&mut self, builders: &[&[u8]], _target: ExecutionTarget) -> Result<Graph, BackendError> {
        let [bytes] = builders else {
            return Err(BackendError::InvalidNumberOfBuilders(1, builders.len()));
        };
        let (digest, graph) = self.0.graphs.load("model.onnx", bytes).map_err(failed)?;
        let graph: Box<dyn BackendGraph> = Box::new(Shared(graph));
        let graph = Graph::from(graph);
        self.0.by_name.insert(digest.to_string(), Box::new(graph.clone()));
        Ok(graph)
    }

    fn as_dir_loadable(&mut self) -> Option<&mut dyn BackendFromDir> {
        None
    }
}

#[derive(Clone)]
struct Shared(Arc<dyn tidemill_host::nn::Graph>);

impl BackendGraph for Shared {
    fn init_execution_context(&self) -> Result<ExecutionContext, BackendError> {
        let context: Box<dyn BackendExecutionContext> = Box::new(self.clone());
        Ok(context.into())
    }
}

impl BackendExecutionContext for Shared {
    fn set_input(&mut self, _id: Id, _tensor: &WitTensor) -> Result<(), BackendError> {
        Err(failed(tidemill_core::Error::bug("inputs are given to compute")))
    }

    fn get_output(&mut self, _id: Id) -> Result<WitTensor, BackendError> {
        Err(failed(tidemill_core::Error::bug("outputs are returned by compute")))
    }

    fn compute(&mut self, inputs: Option<Vec<NamedTensor>>) -> Result<Option<Vec<NamedTensor>>, BackendError> {
        let inputs = inputs
            .unwrap_or_default()
            .into_iter()
            .map(|named| Ok((named.name, taken(named.tensor)?)));
        let inputs = inputs.collect::<tidemill_core::Result<Vec<_>>>().map_err(failed)?;
        let outputs = self.0.compute(inputs).map_err(failed)?;
        Ok(Some(
            outputs
                .into_iter()
                .map(|(name, tensor)| NamedTensor {
                    name,
                    tensor: given(tensor),
                })
                .collect(),
        ))
    }
}

fn failed(error: tidemill_core::Error) -> BackendError {
    BackendError::BackendAccess(wasmtime::Error::msg(error.message))
}

fn taken(tensor: WitTensor) -> tidemill_core::Result<Tensor> {
    let kind = match tensor.ty {
        TensorType::Fp16 => ElementType::F16,
        TensorType::Fp32 => ElementType::F32,
        TensorType::Fp64 => ElementType::F64,
        TensorType::Bf16 => ElementType::Bf16,
        TensorType::U8 => ElementType::U8,
        TensorType::I32 => ElementType::I32,
        TensorType::I64 => ElementType::I64,
    };
    Tensor::new(tensor.dimensions.iter().map(|length| *length as usize).collect(), kind, tensor.data)
}

fn given(tensor: Tensor) -> WitTensor {
    let ty = match tensor.kind {
        ElementType::F16 => TensorType::Fp16,
        ElementType::F32 => TensorType::Fp32,
        ElementType::F64 => TensorType::Fp64,
        ElementType::Bf16 => TensorType::Bf16,
        ElementType::U8 => TensorType::U8,
        ElementType::I32 => TensorType::I32,
        ElementType::I64 => TensorType::I64,
    };
    let dimensions = tensor
        .shape
        .iter()
        .map(|length| u32::try_from(*length).unwrap_or(u32::MAX))
        .collect();
    WitTensor::new(dimensions, ty, tensor.data)
}
