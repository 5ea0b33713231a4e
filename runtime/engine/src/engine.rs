//! The wasmtime engine of stages: no concurrency inside a guest, and no NaN whose bits depend on the machine.

use std::{path::PathBuf, sync::Arc};

use tidemill_core::{Digest, Error, Result};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::{
    StageComponent,
    cache::Compiler,
    epoch,
    onnx::{OnnxEngine, OnnxSource},
};

/// Where an engine finds what it needs beside the stages.
#[derive(Clone, Default)]
pub struct EngineOptions {
    /// Folder of compiled components, which must be the user's own: its files run as native code. Empty: nothing is cached.
    pub cache_dir: PathBuf,
    /// Reads the ONNX engine's component, when a stage first loads a model from elsewhere. `None`: such models are rejected.
    pub onnx: Option<OnnxSource>,
}

impl std::fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineOptions")
            .field("cache_dir", &self.cache_dir)
            .field("onnx", &self.onnx.is_some())
            .finish()
    }
}

/// Compiles stages. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    compiler: Compiler,
    onnx: Arc<OnnxEngine>,
}

impl Engine {
    /// An engine that pools instances, or allocates on demand where the pool's address space is not available.
    ///
    /// # Errors
    /// `Bug` if wasmtime does not run on this machine.
    pub fn new(options: EngineOptions) -> Result<Self> {
        let inner = wasmtime::Engine::new(&config(Some(pool()))).or_else(|error| {
            tracing::debug!("no instance pool, allocating on demand: {error:#}");
            wasmtime::Engine::new(&config(None))
        });
        let inner = inner.map_err(|error| Error::bug(format!("wasmtime does not start on this machine: {error:#}")))?;
        epoch::register(&inner);
        let compiler = Compiler::new(inner, options.cache_dir);
        Ok(Self {
            onnx: Arc::new(OnnxEngine::new(compiler.clone(), options.onnx)),
            compiler,
        })
    }

    /// A stage from a component's bytes, compiled or read from the cache.
    ///
    /// # Errors
    /// `Config` if the bytes are not a component, import what no stage may, or do not export `run`.
    pub fn component(&self, bytes: &[u8]) -> Result<StageComponent> {
        let digest = Digest::sha256(bytes);
        let compiled = self.compiler.compile(bytes, &digest)?;
        StageComponent::link(self.compiler.engine().clone(), self.onnx.clone(), &compiled, digest)
    }
}

fn config(pool: Option<PoolingAllocationConfig>) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .concurrency_support(false);
    // A NaN's bits would otherwise depend on the machine.
    config.cranelift_nan_canonicalization(true);
    if let Some(pool) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(64)
        .total_core_instances(512)
        .total_memories(128)
        .total_tables(512)
        .table_elements(100_000)
        .linear_memory_keep_resident(256 << 10);
    pool
}
