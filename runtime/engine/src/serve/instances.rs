//! The lifetime of instances: reused, one request in flight each, dropped when a request takes too long or none comes.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use wasmtime::{Store, StoreContextMut, Trap, WasmBacktrace, component::GuestTaskId};
use wasmtime_wasi_http::{
    WasiHttpView,
    handler::{HandlerState, Instance, ProxyPre, ShouldAccept, WorkerState},
};

use crate::{epoch::to_ticks, expiration::Expiration};

use super::{
    ServeLimits,
    admission::{InstanceGuard, InstancePool},
    state::{InstanceState, Receipts, ServerState},
};

/// Time that an instance waits for its next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time beyond a request's deadline for what the epoch did not interrupt.
const GRACE_PERIOD: Duration = Duration::from_secs(1);

/// Creates instances.
pub(super) struct Instances {
    pub(super) engine: wasmtime::Engine,
    pub(super) pre: ProxyPre<InstanceState>,
    pub(super) shared: Arc<ServerState>,
    pub(super) pool: Arc<InstancePool>,
    pub(super) limits: ServeLimits,
}

impl HandlerState for Instances {
    type StoreData = InstanceState;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<InstanceState, Expiration, Worker>> {
        let mut store = Store::new(&self.engine, InstanceState::new(self.shared.clone(), self.limits.memory_bytes));
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(to_ticks(self.limits.timeout));
        store.epoch_deadline_trap();
        let proxy = self.pre.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: InstanceState::http,
            expiration: Expiration::new(IDLE_TIMEOUT, self.limits.timeout + GRACE_PERIOD, GRACE_PERIOD),
            state: Worker {
                timeout: self.limits.timeout,
                guard: self.pool.register(),
            },
        })
    }
}

/// Policy of one instance.
pub(super) struct Worker {
    timeout: Duration,
    guard: InstanceGuard,
}

impl WorkerState for Worker {
    type StoreData = InstanceState;
    type RequestData = Receipts;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        match concurrent {
            0 if total > 0 && self.guard.is_surplus() => ShouldAccept::Never,
            0 => ShouldAccept::Yes,
            _ => ShouldAccept::No,
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, InstanceState>,
        receipts: Receipts,
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        store.data_mut().receipts = receipts;
        store.data_mut().release_graphs();
        store.set_epoch_deadline(to_ticks(self.timeout));
        let mut deadline = Box::pin(tokio::time::sleep(self.timeout));
        Box::pin(poll_fn(move |cx| deadline.as_mut().poll(cx)))
    }

    fn drop(&self, _store: Store<InstanceState>, result: wasmtime::Result<()>) {
        let Err(error) = result else { return };
        // An idle instance that is dropped with the runtime did not fail, though its result is an error: one without a trap in it.
        let is_trap = error.downcast_ref::<Trap>().is_some() || error.downcast_ref::<WasmBacktrace>().is_some();
        match is_trap || std::thread::panicking() {
            true => tracing::error!("a serving instance ended: {error:#}"),
            false => tracing::debug!("a serving instance ended: {error:#}"),
        }
    }
}
