//! One wasmtime engine for stages, and the one thread that advances every engine's epoch. A run's timeout is checked
//! against the clock at each epoch, so a late ticker delays a timeout but never brings one early.

use std::{
    path::PathBuf,
    sync::{Mutex, Once, PoisonError},
    time::Duration,
};

use tidemill_core::{Digest, Error, Result};
use wasmtime::{Config, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::{StageComponent, cache::Cache};

/// How often a running guest looks at the clock.
pub(crate) const EPOCH_INTERVAL: Duration = Duration::from_millis(10);

/// Where compiled components are kept.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// A folder of the user's own: what is in it is run as native code. Empty: nothing is kept.
    pub cache_dir: PathBuf,
}

/// Compiles stages. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: wasmtime::Engine,
    cache: Option<Cache>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that pools instances, or allocates on demand where the address space for the pool cannot be had.
    ///
    /// # Errors
    /// `Bug` if wasmtime does not run on this machine.
    pub fn new(options: EngineOptions) -> Result<Self> {
        let inner = wasmtime::Engine::new(&config(Some(pool()))).or_else(|error| {
            tracing::debug!("no instance pool, allocating on demand: {error:#}");
            wasmtime::Engine::new(&config(None))
        });
        let inner = inner.map_err(|error| Error::bug(format!("wasmtime does not start on this machine: {error:#}")))?;
        tick(&inner);
        Ok(Self {
            inner,
            cache: (!options.cache_dir.as_os_str().is_empty()).then(|| Cache::new(options.cache_dir)),
        })
    }

    /// A stage from a component's bytes, compiled, or taken from the cache.
    ///
    /// # Errors
    /// `Config` if it is not a component, imports what no stage may, or does not export `run`.
    pub fn component(&self, bytes: &[u8]) -> Result<StageComponent> {
        let digest = Digest::sha256(bytes);
        let compiled = match &self.cache {
            Some(cache) => cache.component(&self.inner, bytes, &digest)?,
            None => crate::cache::compile(&self.inner, bytes)?,
        };
        StageComponent::link(self.inner.clone(), &compiled, digest)
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

/// Registers an engine with the ticker, which starts with the first.
fn tick(engine: &wasmtime::Engine) {
    static ENGINES: Mutex<Vec<EngineWeak>> = Mutex::new(Vec::new());
    static TICKER: Once = Once::new();
    ENGINES.lock().unwrap_or_else(PoisonError::into_inner).push(engine.weak());
    TICKER.call_once(|| {
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(EPOCH_INTERVAL);
                let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
                engines.retain(|weak| weak.upgrade().inspect(wasmtime::Engine::increment_epoch).is_some());
            }
        });
    });
}
