//! The limits of a run, and how far its components use them.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tidemill_core::{Error, ErrorKind, pipeline::Node};
use wasmtime::ResourceLimiter;

/// Limits of a run.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Wall-clock time.
    pub timeout: Duration,
    /// Linear memory, of the stage and of the ONNX engine beside it.
    pub memory_bytes: u64,
}

impl From<&Node> for Limits {
    fn from(node: &Node) -> Self {
        Self {
            timeout: node.timeout,
            memory_bytes: node.memory_bytes,
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
    pub(crate) fn new(limits: &Limits) -> Self {
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
    pub(crate) fn new(run: Arc<Run>) -> Self {
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
