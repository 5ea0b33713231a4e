//! A compiled stage and its runs. Each run has an instance of its own, so nothing that a guest leaves behind reaches the next;
//! a host call that blocks is not interrupted, so what it waits for must end by itself.

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
    StageHost,
    bindings::{Stage, StagePre, tidemill::stage::types},
    convert,
    engine::EPOCH_INTERVAL,
    error,
    state::RunState,
};

/// Bytes that one call of a guest may hand to the host.
const CALL_BYTES: usize = 256 << 20;

/// What a run may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Wall-clock time.
    pub timeout: Duration,
    /// Linear memory.
    pub memory_bytes: u64,
}

/// What a run took.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// Greatest linear memory.
    pub memory_bytes: u64,
    /// From before the instance was made to the stage's answer.
    pub duration: Duration,
}

/// A compiled and linked stage.
pub struct StageComponent {
    engine: wasmtime::Engine,
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
    pub(crate) fn link(engine: wasmtime::Engine, component: &Component, digest: Digest) -> Result<Self> {
        let linker = linker(&engine).map_err(|error| Error::bug(format!("the stage's imports cannot be offered: {error:#}")))?;
        let kind = component.component_type();
        let pre = linker
            .instantiate_pre(component)
            .map_err(|error| error::link_error(kind.imports(&engine).map(|(name, _)| name), &error))?;
        let pre = StagePre::new(pre).map_err(|error| error::missing_run_export(&error))?;
        Ok(Self { engine, pre, digest })
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
        let result = match self.pre.instantiate(&mut store) {
            Ok(stage) => answer(&stage, &mut store, trigger, config),
            Err(error) => Err(error),
        };
        let result = match result {
            Ok(Ok(outcome)) => convert::outcome_from_wit(outcome),
            Ok(Err(error)) => Err(convert::error_from_wit(error)),
            Err(error) => Err(error::trap_error(&error, store.data(), limits)),
        };
        let usage = Usage {
            memory_bytes: store.data().memory.allocated,
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
        made.map(|_| took).map_err(|error| error::trap_error(&error, store.data(), limits))
    }

    fn store(&self, trigger: &Trigger, host: Arc<dyn StageHost>, limits: &Limits) -> Store<RunState> {
        let mut store = Store::new(&self.engine, RunState::new(host, trigger, limits));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(CALL_BYTES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| match context.data().remaining() {
            Some(left) => Ok(UpdateDeadline::Continue(ticks(left))),
            None => {
                context.data_mut().is_timed_out = true;
                Err(wasmtime::Error::msg("the timeout is over"))
            }
        });
        store
    }
}

/// At least one, and no more than a second's: the ticker may be late, the clock is not.
fn ticks(left: Duration) -> u64 {
    u64::try_from(left.as_millis() / EPOCH_INTERVAL.as_millis())
        .unwrap_or(100)
        .clamp(1, 100)
}

type Answer = std::result::Result<types::Outcome, types::Error>;

fn answer(stage: &Stage, store: &mut Store<RunState>, trigger: &Trigger, config: &str) -> wasmtime::Result<Answer> {
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
    Ok(linker)
}
