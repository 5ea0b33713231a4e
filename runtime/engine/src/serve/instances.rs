//! Instances and their lives: reused, one request in flight each, given up when a request takes too long or they idle.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use wasmtime::{Store, StoreContextMut, component::GuestTaskId};
use wasmtime_wasi_http::{
    WasiHttpView,
    handler::{HandlerState, Instance, ProxyPre, ShouldAccept, WorkerState},
};

use crate::{expiration::Expiration, http_server::ticks};

use super::{
    ServeLimits,
    admission::{InstanceGuard, InstancePool},
    state::{InstanceState, Receipts, ServerState},
};

/// How long an instance waits for its next request.
const IDLE: Duration = Duration::from_secs(60);
/// Beyond the deadline, for whatever the guest's own clock did not stop.
const GRACE: Duration = Duration::from_secs(1);

/// Makes instances.
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
        store.set_epoch_deadline(ticks(self.limits.timeout));
        store.epoch_deadline_trap();
        let proxy = self.pre.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: InstanceState::http,
            expiration: Expiration::new(IDLE, self.limits.timeout + GRACE, GRACE),
            state: Worker {
                timeout: self.limits.timeout,
                member: self.pool.register(),
            },
        })
    }
}

/// One instance's rules.
pub(super) struct Worker {
    timeout: Duration,
    member: InstanceGuard,
}

impl WorkerState for Worker {
    type StoreData = InstanceState;
    type RequestData = Receipts;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        match concurrent {
            0 if total > 0 && self.member.is_surplus() => ShouldAccept::Never,
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
        store.set_epoch_deadline(ticks(self.timeout));
        let mut deadline = Box::pin(tokio::time::sleep(self.timeout));
        Box::pin(poll_fn(move |cx| deadline.as_mut().poll(cx)))
    }

    fn drop(&self, _store: Store<InstanceState>, result: wasmtime::Result<()>) {
        if let Err(error) = result {
            // What an instance is given, too, that idles when the process ends.
            if error.to_string() == "worker panicked" && !std::thread::panicking() {
                return;
            }
            tracing::error!("a serving instance ended: {error:#}");
        }
    }
}
