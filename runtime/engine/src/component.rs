//! A compiled stage and its runs. Each run has an instance of its own, so nothing that a guest leaves behind reaches the next run.
//! A host call that blocks is not interrupted: it must end by itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tidemill_core::{Digest, Error, Outcome, Result, RunContext, Trigger};
use tidemill_host::{AccessLog, RunHost, Usage};
use wasmtime::{
    Store, UpdateDeadline,
    component::{Component, HasSelf, Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_nn::wit::{WasiNnCtx, WasiNnView};

use crate::{
    Limits, StageHost,
    bindings::{
        error_from_wit, outcome_from_wit,
        stage::{Stage, StagePre},
        trigger_to_wit,
    },
    epoch::to_ticks,
    error,
    limits::{Memory, Run},
    nn,
    onnx::{OnnxEngine, OnnxLoader},
    wasi,
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
            .and_then(|stage| stage.call_run(&mut store, &trigger_to_wit(trigger), config));
        let result = match (called, store.data().run.take_failure()) {
            (Err(trap), _) => Err(error::trap_error(&trap, store.data())),
            (Ok(_), Some(failure)) => Err(failure),
            (Ok(Ok(outcome)), None) => outcome_from_wit(outcome),
            (Ok(Err(error)), None) => Err(error_from_wit(error)),
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

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<RunState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    Stage::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    wasmtime_wasi_nn::wit::add_to_linker(&mut linker, RunState::nn)?;
    Ok(linker)
}

/// The state of a run inside wasmtime: the host, WASI, the limits, and the ONNX engine once a model needs it.
pub(crate) struct RunState {
    pub(crate) host: Arc<dyn StageHost>,
    pub(crate) table: ResourceTable,
    memory: Memory,
    pub(crate) stderr: wasi::CapturedOutput,
    pub(crate) run: Arc<Run>,
    pub(crate) is_timed_out: bool,
    wasi: WasiCtx,
    engine: Arc<OnnxEngine>,
    /// Created when the guest first asks for a model.
    nn: Option<WasiNnCtx>,
}

impl RunState {
    fn new(host: Arc<dyn StageHost>, engine: Arc<OnnxEngine>, trigger: &Trigger, limits: &Limits) -> Self {
        let context = host.context().clone();
        Self::with_context(host, engine, Arc::new(Run::new(limits)), &context, &trigger.digest)
    }

    /// The state of the ONNX engine's instance: the run's limits, and randomness that is the same in every run, for a model's numbers
    /// must not depend on the run that computes them.
    pub(crate) fn of_onnx(host: Arc<dyn StageHost>, engine: Arc<OnnxEngine>, run: Arc<Run>) -> Self {
        let context = RunContext {
            seed: 0,
            run_key: String::new(),
            ..host.context().clone()
        };
        Self::with_context(host, engine, run, &context, &Digest::sha256(b""))
    }

    fn with_context(host: Arc<dyn StageHost>, engine: Arc<OnnxEngine>, run: Arc<Run>, context: &RunContext, input: &Digest) -> Self {
        let stderr = wasi::CapturedOutput::default();
        Self {
            wasi: wasi::build_context(context, input, &stderr),
            host,
            table: ResourceTable::new(),
            memory: Memory::new(run.clone()),
            stderr,
            run,
            is_timed_out: false,
            engine,
            nn: None,
        }
    }

    fn nn(&mut self) -> WasiNnView<'_> {
        let new = || {
            let loader = OnnxLoader::new(self.engine.clone(), self.host.clone(), self.run.clone());
            nn::new_context(Arc::new(loader), Arc::default())
        };
        WasiNnView::new(&mut self.table, self.nn.get_or_insert_with(new))
    }
}

impl WasiView for RunState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}
