//! A compiled stage and its runs. Each run has an instance of its own, so nothing that a guest leaves behind reaches the next run.
//! A host call that blocks is not interrupted: it must end by itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tidemill_core::{Digest, Error, Outcome, Result, Trigger};
use tidemill_host::{AccessLog, RunHost};
use wasmtime::{
    Store, UpdateDeadline,
    component::{Component, HasSelf, Linker},
};

use crate::{
    Limits, StageHost, Usage,
    bindings::stage::{Stage, StagePre, tidemill::stage::types},
    convert,
    epoch::to_ticks,
    error,
    onnx::OnnxEngine,
    state::RunState,
};

/// Bytes that a guest may pass to the host in one call.
const MAX_CALL_BYTES: usize = 256 << 20;
/// Longest time between two looks at the clock.
const MAX_CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// A compiled and linked stage.
pub struct StageComponent {
    engine: wasmtime::Engine,
    onnx: Arc<OnnxEngine>,
    pre: StagePre<RunState>,
    digest: Digest,
}

impl std::fmt::Debug for StageComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StageComponent")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl StageComponent {
    pub(crate) fn link(engine: wasmtime::Engine, onnx: Arc<OnnxEngine>, component: &Component, digest: Digest) -> Result<Self> {
        let linker = linker(&engine).map_err(|error| Error::bug(format!("the stage's imports cannot be offered: {error:#}")))?;
        let kind = component.component_type();
        let pre = linker
            .instantiate_pre(component)
            .map_err(|error| error::link_error(kind.imports(&engine).map(|(name, _)| name), &error))?;
        let pre = StagePre::new(pre).map_err(|error| error::missing_run_export(&error))?;
        Ok(Self { engine, onnx, pre, digest })
    }

    /// SHA-256 of the component's bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Runs the stage once. Blocks: call it where blocking is allowed. `config` is a JSON object.
    pub fn run(&self, trigger: &Trigger, config: &str, host: RunHost, limits: &Limits) -> (Result<Outcome>, AccessLog, Usage) {
        let host = Arc::new(host);
        let (result, usage) = self.run_with(trigger, config, host.clone(), limits);
        match Arc::into_inner(host) {
            Some(host) => (result, host.finish(), usage),
            None => (Err(Error::bug("a run's host outlived the run")), AccessLog::default(), usage),
        }
    }

    /// Like [`run`](Self::run), over any host.
    pub fn run_with(&self, trigger: &Trigger, config: &str, host: Arc<dyn StageHost>, limits: &Limits) -> (Result<Outcome>, Usage) {
        let started = Instant::now();
        let mut store = self.store(trigger, host, limits);
        let called = self
            .pre
            .instantiate(&mut store)
            .and_then(|stage| call_run(&stage, &mut store, trigger, config));
        let result = match (called, store.data().run.take_failure()) {
            (Err(trap), _) => Err(error::trap_error(&trap, store.data())),
            (Ok(_), Some(failure)) => Err(failure),
            (Ok(Ok(outcome)), None) => convert::outcome_from_wit(outcome),
            (Ok(Err(error)), None) => Err(convert::error_from_wit(error)),
        };
        let usage = Usage {
            memory_bytes: store.data().run.peak_memory(),
            duration: started.elapsed(),
        };
        (result, usage)
    }

    /// Makes and drops an instance: what is measured as instance start.
    ///
    /// # Errors
    /// Those of a run before the stage is called.
    pub fn instantiate(&self, trigger: &Trigger, host: Arc<dyn StageHost>, limits: &Limits) -> Result<Duration> {
        let started = Instant::now();
        let mut store = self.store(trigger, host, limits);
        let made = self.pre.instantiate(&mut store);
        let took = started.elapsed();
        made.map(|_| took).map_err(|trap| error::trap_error(&trap, store.data()))
    }

    fn store(&self, trigger: &Trigger, host: Arc<dyn StageHost>, limits: &Limits) -> Store<RunState> {
        new_store(&self.engine, RunState::new(host, self.onnx.clone(), trigger, limits))
    }
}

/// A store under the limits of its run.
pub(crate) fn new_store(engine: &wasmtime::Engine, state: RunState) -> Store<RunState> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(MAX_CALL_BYTES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| match context.data().run.remaining() {
        // The ticker may be late, the clock is not: it is looked at every second.
        Some(left) => Ok(UpdateDeadline::Continue(to_ticks(left.min(MAX_CLOCK_INTERVAL)))),
        None => {
            context.data_mut().is_timed_out = true;
            Err(wasmtime::Error::msg("the run exceeded its timeout"))
        }
    });
    store
}

type Returned = std::result::Result<types::Outcome, types::Error>;

fn call_run(stage: &Stage, store: &mut Store<RunState>, trigger: &Trigger, config: &str) -> wasmtime::Result<Returned> {
    let trigger = types::Trigger {
        key: trigger.key.clone(),
        digest: trigger.digest.to_string(),
    };
    stage.call_run(store, &trigger, config)
}

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<RunState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    Stage::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    wasmtime_wasi_nn::wit::add_to_linker(&mut linker, RunState::nn)?;
    Ok(linker)
}
