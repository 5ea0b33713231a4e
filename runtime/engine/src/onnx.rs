//! The ONNX engine of stages: a component that exports `wasi:nn`, so that a model from elsewhere gives the same numbers on every machine.
//!
//! It is read and compiled when a stage first loads a model, and instantiated once for a run. A stage that loads none pays nothing
//! for it, and runs where the component is missing.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tidemill_core::{Digest, Error, Result};
use tidemill_nn::{Graph, Tensor};
use wasmtime::{
    Store,
    component::{Linker, ResourceAny},
};

use crate::{
    bindings::onnx::{
        Onnx, OnnxPre,
        exports::wasi::nn::{errors::ErrorCode, graph},
    },
    cache::Compiler,
    component::{RunState, new_store},
    error,
    imports::StageHost,
    limits::Run,
    nn::GraphLoader,
};

tidemill_nn::tensor_type_conversions!(crate::bindings::onnx::exports::wasi::nn::tensor::TensorType);

/// Reads the engine's component.
pub type OnnxSource = Arc<dyn Fn() -> Result<Vec<u8>> + Send + Sync>;

/// The engine's component, compiled once.
pub(crate) struct OnnxEngine {
    compiler: Compiler,
    source: Option<OnnxSource>,
    compiled: Mutex<Option<OnnxPre<RunState>>>,
}

impl std::fmt::Debug for OnnxEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnnxEngine")
            .field("compiler", &self.compiler)
            .finish_non_exhaustive()
    }
}

impl OnnxEngine {
    pub(crate) fn new(compiler: Compiler, source: Option<OnnxSource>) -> Self {
        Self {
            compiler,
            source,
            compiled: Mutex::default(),
        }
    }

    fn compiled(&self) -> Result<OnnxPre<RunState>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = compiled.as_ref() {
            return Ok(found.clone());
        }
        let source = self.source.as_ref().ok_or_else(|| {
            Error::config("a model from elsewhere needs the ONNX engine `tidemill_onnx.wasm`, and this program was started without one")
        })?;
        let bytes = source()?;
        let component = self.compiler.compile(&bytes, &Digest::sha256(&bytes))?;
        let mut linker = Linker::new(self.compiler.engine());
        let linked = wasmtime_wasi::p2::add_to_linker_sync(&mut linker).and_then(|()| linker.instantiate_pre(&component));
        let pre = linked.and_then(OnnxPre::new).map_err(|error| {
            Error::config(format!(
                "`tidemill_onnx.wasm` is not the ONNX engine of this version: {error:#}; take the one that was built or installed with this program"
            ))
        })?;
        Ok(compiled.insert(pre).clone())
    }
}

/// Loads the models of one run, with one instance of the engine.
pub(crate) struct OnnxLoader {
    engine: Arc<OnnxEngine>,
    host: Arc<dyn StageHost>,
    run: Arc<Run>,
    instance: Mutex<Option<OnnxInstance>>,
}

impl OnnxLoader {
    pub(crate) fn new(engine: Arc<OnnxEngine>, host: Arc<dyn StageHost>, run: Arc<Run>) -> Self {
        Self {
            engine,
            host,
            run,
            instance: Mutex::default(),
        }
    }

    /// The instance of the run: a fresh one where there is none, or the one before trapped.
    fn instance(&self) -> Result<OnnxInstance> {
        let mut slot = self.instance.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(instance) = slot.as_ref().filter(|instance| !instance.is_trapped()) {
            return Ok(instance.clone());
        }
        *slot = None;
        let instance = OnnxInstance::new(&self.engine, &self.host, &self.run)?;
        Ok(slot.insert(instance).clone())
    }
}

impl GraphLoader for OnnxLoader {
    fn load(&self, onnx: &[u8]) -> Result<Arc<dyn Graph>> {
        let loaded = self.instance().and_then(|instance| instance.load(onnx));
        loaded.inspect_err(|error| self.run.record_failure(error))
    }

    /// A stage reads its models itself.
    fn find(&self, _digest: &Digest) -> Option<Arc<dyn Graph>> {
        None
    }
}

/// The engine's instance, shared by the graphs that it has loaded.
#[derive(Clone)]
struct OnnxInstance(Arc<Mutex<Inner>>);

struct Inner {
    store: Store<RunState>,
    onnx: Onnx,
    /// Why the instance cannot be called any more.
    trapped: Option<Error>,
}

impl OnnxInstance {
    /// An instance under the limits of the run. Compiling is not the run's time: its deadline moves.
    fn new(engine: &Arc<OnnxEngine>, host: &Arc<dyn StageHost>, run: &Arc<Run>) -> Result<Self> {
        let started = Instant::now();
        let pre = engine.compiled()?;
        run.extend_deadline(started.elapsed());
        let state = RunState::of_onnx(host.clone(), engine.clone(), run.clone());
        let mut store = new_store(engine.compiler.engine(), state);
        let onnx = pre.instantiate(&mut store).map_err(|error| trap_error(&error, store.data()))?;
        let inner = Inner {
            store,
            onnx,
            trapped: None,
        };
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    /// Whether it trapped, and a fresh one is needed.
    fn is_trapped(&self) -> bool {
        self.lock().trapped.is_some()
    }

    fn load(&self, onnx: &[u8]) -> Result<Arc<dyn Graph>> {
        let execution = self.lock().load(onnx)?;
        Ok(Arc::new(ComponentGraph {
            instance: self.clone(),
            execution,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn load(&mut self, onnx: &[u8]) -> Result<ResourceAny> {
        self.check()?;
        let guest = self.onnx.wasi_nn_graph();
        let (encoding, target) = (graph::GraphEncoding::Onnx, graph::ExecutionTarget::Cpu);
        let loaded = guest.call_load(&mut self.store, &[onnx.to_vec()], encoding, target);
        let graph = self.finish(loaded)?;
        let execution = self
            .onnx
            .wasi_nn_graph()
            .graph()
            .call_init_execution_context(&mut self.store, graph);
        self.finish(execution)
    }

    fn compute(&mut self, execution: ResourceAny, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>> {
        self.check()?;
        let mut given = Vec::with_capacity(inputs.len());
        for (name, tensor) in inputs {
            let (lengths, kind) = (tensor.dimensions(), type_to_wit(tensor.kind));
            let guest = self.onnx.wasi_nn_tensor().tensor();
            let made = guest.call_constructor(&mut self.store, &lengths, kind, &tensor.data);
            given.push((name, self.finish(made.map(Ok))?));
        }
        let guest = self.onnx.wasi_nn_inference().graph_execution_context();
        let computed = guest.call_compute(&mut self.store, execution, &given);
        let outputs = self.finish(computed)?;
        outputs.into_iter().map(|(name, tensor)| Ok((name, self.read(tensor)?))).collect()
    }

    fn read(&mut self, tensor: ResourceAny) -> Result<Tensor> {
        let guest = self.onnx.wasi_nn_tensor().tensor();
        let read = guest.call_dimensions(&mut self.store, tensor).and_then(|shape| {
            let kind = guest.call_ty(&mut self.store, tensor)?;
            let data = guest.call_data(&mut self.store, tensor)?;
            tensor.resource_drop(&mut self.store)?;
            Ok((shape, kind, data))
        });
        let (shape, kind, data) = self.finish(read.map(Ok))?;
        Tensor::from_dimensions(&shape, type_from_wit(kind), data)
    }

    fn check(&self) -> Result<()> {
        self.trapped.clone().map_or(Ok(()), Err)
    }

    /// What a call returned: an error of the engine is the model's fault unless its code says otherwise, and a trap ends the instance.
    fn finish<T>(&mut self, returned: wasmtime::Result<std::result::Result<T, ResourceAny>>) -> Result<T> {
        let guest = self.onnx.wasi_nn_errors().error();
        let described = match returned {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => guest.call_code(&mut self.store, error).and_then(|code| {
                let message = guest.call_data(&mut self.store, error)?;
                error.resource_drop(&mut self.store)?;
                Ok((code, message))
            }),
            Err(trap) => Err(trap),
        };
        Err(match described {
            Ok((ErrorCode::InvalidArgument | ErrorCode::InvalidEncoding, message)) => Error::input(message),
            Ok((_, message)) => Error::bug(message),
            Err(trap) => {
                let error = trap_error(&trap, self.store.data());
                self.trapped = Some(error.clone());
                error
            }
        })
    }
}

/// A panic of the engine is the model's fault: the engine is the same for all of them.
fn trap_error(trap: &wasmtime::Error, state: &RunState) -> Error {
    error::limit_error(state)
        .unwrap_or_else(|| Error::input(format!("the ONNX engine failed on it: {}", error::describe_trap(trap, state))))
}

/// A model that an instance has loaded.
struct ComponentGraph {
    instance: OnnxInstance,
    execution: ResourceAny,
}

impl Graph for ComponentGraph {
    fn compute(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>> {
        let mut instance = self.instance.lock();
        let computed = instance.compute(self.execution, inputs);
        computed.inspect_err(|error| instance.store.data().run.record_failure(error))
    }
}

impl Drop for ComponentGraph {
    fn drop(&mut self) {
        let mut instance = self.instance.lock();
        if instance.trapped.is_none() {
            let _dropped = self.execution.resource_drop(&mut instance.store);
        }
    }
}
