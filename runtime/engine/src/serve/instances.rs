//! Instances and the requests that they serve. An instance is reused, has one request in flight, and is dropped when a request takes too
//! long or none comes.
//!
//! As many requests run as there are cores, so that few instances serve all of them and stay in the processor's caches. A request that
//! waits longer than [`CORE_WAIT_TIMEOUT`], behind a first load, many rows or a loop, runs beside them, up to the limit of instances.
//! Afterwards surplus instances are dropped: requests would otherwise rotate through all of them.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::{Store, StoreContextMut, Trap, WasmBacktrace, component::GuestTaskId};
use wasmtime_wasi_http::{
    WasiHttpView,
    handler::{HandlerState, Instance, ProxyPre, ShouldAccept, WorkerState},
};

use super::{
    ServeLimits,
    imports::Receipts,
    state::{InstanceState, ServerState},
};
use crate::{epoch::to_ticks, expiration::Expiration};

/// Time that a request waits for a core before it runs beside those that hold one.
const CORE_WAIT_TIMEOUT: Duration = Duration::from_millis(20);
/// Time after the last such request until surplus instances are dropped.
const SURPLUS_TTL: Duration = Duration::from_secs(1);
/// Instances of each core that are never surplus: one answers while the other still cleans up.
const INSTANCES_PER_CORE: usize = 2;
/// Time that an instance waits for its next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time beyond a request's deadline for what the epoch did not interrupt.
const GRACE_PERIOD: Duration = Duration::from_secs(1);

/// Admits requests to components.
pub(super) struct Admission {
    cores: Semaphore,
    instances: Semaphore,
    /// Of requests that wait or run.
    places: Semaphore,
    most_waiting: usize,
    timeout: Duration,
    pool: Arc<InstancePool>,
}

/// Why a request does not run.
pub(super) enum NotAdmitted {
    /// The server is closed.
    Stopping,
    /// There are too many.
    Overloaded(String),
}

/// Released when it is dropped.
pub(super) struct Permit<'a> {
    _core: Option<SemaphorePermit<'a>>,
    _instance: SemaphorePermit<'a>,
    _place: SemaphorePermit<'a>,
}

impl Admission {
    pub(super) fn new(limits: &ServeLimits) -> Self {
        let instances = limits.instances;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cores: Semaphore::new(cores.min(instances)),
            instances: Semaphore::new(instances),
            places: Semaphore::new(instances + limits.waiting),
            most_waiting: limits.waiting,
            timeout: limits.timeout,
            pool: Arc::new(InstancePool {
                minimum: instances.min(cores * INSTANCES_PER_CORE),
                alive: AtomicUsize::new(0),
                since: Instant::now(),
                last_contended: AtomicU64::new(0),
            }),
        }
    }

    /// Waits for a permit.
    pub(super) async fn acquire(&self) -> Result<Permit<'_>, NotAdmitted> {
        let place = self
            .places
            .try_acquire()
            .map_err(|_| NotAdmitted::Overloaded(format!("{} requests wait, which is the most", self.most_waiting)))?;
        let core = match self.cores.try_acquire() {
            Ok(core) => Some(core),
            Err(_) => tokio::time::timeout(CORE_WAIT_TIMEOUT, self.cores.acquire())
                .await
                .ok()
                .and_then(Result::ok),
        };
        if core.is_none() {
            self.pool.last_contended.store(self.pool.now(), Relaxed);
        }
        let instance = match self.instances.try_acquire() {
            Ok(instance) => instance,
            Err(_) => match tokio::time::timeout(self.timeout, self.instances.acquire()).await {
                Ok(instance) => instance.map_err(|_| NotAdmitted::Stopping)?,
                Err(_) => return Err(NotAdmitted::Overloaded(format!("no instance was free within {:?}", self.timeout))),
            },
        };
        Ok(Permit {
            _core: core,
            _instance: instance,
            _place: place,
        })
    }

    /// How many instances serve while no request waits for long.
    pub(super) fn uncontended_instances(&self) -> usize {
        self.pool.minimum
    }

    pub(super) fn pool(&self) -> Arc<InstancePool> {
        self.pool.clone()
    }
}

/// The instances of a server.
pub(super) struct InstancePool {
    minimum: usize,
    alive: AtomicUsize,
    since: Instant,
    /// When a request last ran without a core, in microseconds.
    last_contended: AtomicU64,
}

impl InstancePool {
    /// Counts a new instance.
    fn register(self: &Arc<Self>) -> InstanceGuard {
        let alive = self.alive.fetch_add(1, Relaxed) + 1;
        tracing::debug!("{alive} instances serve");
        InstanceGuard(self.clone())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Counts an instance for as long as it lives.
struct InstanceGuard(Arc<InstancePool>);

impl InstanceGuard {
    /// Whether there are more instances than are needed.
    fn is_surplus(&self) -> bool {
        let pool = &self.0;
        pool.alive.load(Relaxed) > pool.minimum
            && pool.now().saturating_sub(pool.last_contended.load(Relaxed)) > SURPLUS_TTL.as_micros() as u64
    }
}

impl Drop for InstanceGuard {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Relaxed);
    }
}

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
