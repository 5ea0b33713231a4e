//! What belongs to one run inside wasmtime: the host, WASI, the deadline and the memory that was taken.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tidemill_core::{RunContext, Trigger};
use wasmtime::{ResourceLimiter, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::{Limits, StageHost, wasi};

pub(crate) struct RunState {
    pub(crate) host: Arc<dyn StageHost>,
    pub(crate) table: ResourceTable,
    pub(crate) memory: Memory,
    pub(crate) stderr: wasi::CapturedOutput,
    pub(crate) deadline: Option<Instant>,
    pub(crate) is_timed_out: bool,
    wasi: WasiCtx,
}

impl RunState {
    pub(crate) fn new(host: Arc<dyn StageHost>, trigger: &Trigger, limits: &Limits) -> Self {
        let context: RunContext = host.context().clone();
        let stderr = wasi::CapturedOutput::default();
        Self {
            wasi: wasi::build_context(&context, trigger, &stderr),
            host,
            table: ResourceTable::new(),
            memory: Memory {
                limit: limits.memory_bytes,
                ..Memory::default()
            },
            stderr,
            deadline: Instant::now().checked_add(limits.timeout),
            is_timed_out: false,
        }
    }

    /// Time left, or `None` if the run is late.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        match self.deadline {
            None => Some(Duration::from_secs(3600)),
            Some(deadline) => deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()),
        }
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

/// Bytes of linear memory over all of a component's memories. They never shrink, so what was taken is the peak.
#[derive(Default)]
pub(crate) struct Memory {
    limit: u64,
    pub(crate) allocated: u64,
    /// More was asked for than allowed.
    pub(crate) is_exceeded: bool,
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.allocated + (desired.saturating_sub(current)) as u64;
        let allowed = wanted <= self.limit;
        if allowed {
            self.allocated = wanted;
        } else {
            self.is_exceeded = true;
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 1_000_000)
    }
}
