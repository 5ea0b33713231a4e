//! The state of one run inside wasmtime: the host, WASI, the limits, and the ONNX engine once a model needs it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tidemill_core::{Digest, Error, ErrorKind, RunContext, Trigger};
use wasmtime::{ResourceLimiter, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_nn::wit::{WasiNnCtx, WasiNnView};

use crate::{
    Limits, StageHost, nn,
    onnx::{OnnxEngine, OnnxLoader},
    wasi,
};

pub(crate) struct RunState {
    pub(crate) host: Arc<dyn StageHost>,
    pub(crate) table: ResourceTable,
    pub(crate) memory: Memory,
    pub(crate) stderr: wasi::CapturedOutput,
    pub(crate) run: Arc<Run>,
    pub(crate) is_timed_out: bool,
    wasi: WasiCtx,
    engine: Arc<OnnxEngine>,
    /// Created when the guest first asks for a model.
    nn: Option<WasiNnCtx>,
}

impl RunState {
    pub(crate) fn new(host: Arc<dyn StageHost>, engine: Arc<OnnxEngine>, trigger: &Trigger, limits: &Limits) -> Self {
        let run = Arc::new(Run::new(limits));
        let stderr = wasi::CapturedOutput::default();
        Self {
            wasi: wasi::build_context(host.context(), &trigger.digest, &stderr),
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

    /// The state of the ONNX engine's instance: the run's limits, and randomness that is the same in every run, for a model's numbers
    /// must not depend on the run that computes them.
    pub(crate) fn of_onnx(host: Arc<dyn StageHost>, engine: Arc<OnnxEngine>, run: Arc<Run>) -> Self {
        let stderr = wasi::CapturedOutput::default();
        let context = RunContext {
            seed: 0,
            run_key: String::new(),
            ..host.context().clone()
        };
        Self {
            wasi: wasi::build_context(&context, &Digest::sha256(b""), &stderr),
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

    pub(crate) fn nn(&mut self) -> WasiNnView<'_> {
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

/// What the components of a run share: its limits, how far they are used, and why it must fail.
pub(crate) struct Run {
    pub(crate) limits: Limits,
    deadline: Option<Instant>,
    /// Added to the deadline, microseconds.
    extension: AtomicU64,
    allocated: AtomicU64,
    peak: AtomicU64,
    is_exceeded: AtomicBool,
    failure: Mutex<Option<Error>>,
}

impl Run {
    fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            deadline: Instant::now().checked_add(limits.timeout),
            extension: AtomicU64::new(0),
            allocated: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            is_exceeded: AtomicBool::new(false),
            failure: Mutex::default(),
        }
    }

    /// Time left, or `None` if the run is late.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        let extension = Duration::from_micros(self.extension.load(Relaxed));
        match self.deadline.and_then(|deadline| deadline.checked_add(extension)) {
            None => Some(Duration::from_secs(3600)),
            Some(deadline) => deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()),
        }
    }

    /// Adds time that is not the run's.
    pub(crate) fn extend_deadline(&self, by: Duration) {
        self.extension.fetch_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The most bytes that were in use together.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    /// Whether a component was denied memory.
    pub(crate) fn is_memory_exceeded(&self) -> bool {
        self.is_exceeded.load(Relaxed)
    }

    /// Records an error of the ONNX engine that is not the model's fault: `wasi:nn` carries no kind of it, and the stage may go on.
    pub(crate) fn record_failure(&self, error: &Error) {
        if error.kind != ErrorKind::Input {
            self.failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(error.clone());
        }
    }

    /// The recorded error, with which the run ends whatever the stage returned.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Limits linear memory over all memories of a run's components. A memory never shrinks: what a component allocated is free when it
/// is dropped.
pub(crate) struct Memory {
    own: u64,
    run: Arc<Run>,
}

impl Memory {
    fn new(run: Arc<Run>) -> Self {
        Self { own: 0, run }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.run.allocated.fetch_sub(self.own, Relaxed);
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let wanted = self.run.allocated.load(Relaxed) + more;
        if wanted > self.run.limits.memory_bytes {
            self.run.is_exceeded.store(true, Relaxed);
            return Ok(false);
        }
        self.own += more;
        self.run.allocated.store(wanted, Relaxed);
        self.run.peak.fetch_max(wanted, Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 1_000_000)
    }
}
