//! Limits the requests that run concurrently, and with them the instances. As many requests run as there are cores, so that few instances
//! serve all of them and stay in the processor's caches. A request that waits longer than [`CORE_WAIT_TIMEOUT`], behind a first load, many
//! rows or a loop, runs beside them, up to the limit of instances. Afterwards surplus instances are dropped: requests would otherwise
//! rotate through all of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Time that a request waits for a core before it runs beside those that hold one.
const CORE_WAIT_TIMEOUT: Duration = Duration::from_millis(20);
/// Time after the last such request until surplus instances are dropped.
const SURPLUS_TTL: Duration = Duration::from_secs(1);
/// Instances of each core that are never surplus: one answers while the other still cleans up.
const INSTANCES_PER_CORE: usize = 2;

/// Admits requests to components.
pub(super) struct Admission {
    cores: Semaphore,
    instances: Semaphore,
    pool: Arc<InstancePool>,
}

/// Released when it is dropped.
pub(super) struct Permit<'a> {
    _core: Option<SemaphorePermit<'a>>,
    _instance: SemaphorePermit<'a>,
}

impl Admission {
    pub(super) fn new(instances: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cores: Semaphore::new(cores.min(instances)),
            instances: Semaphore::new(instances),
            pool: Arc::new(InstancePool {
                minimum: cores * INSTANCES_PER_CORE,
                alive: AtomicUsize::new(0),
                since: Instant::now(),
                last_contended: AtomicU64::new(0),
            }),
        }
    }

    /// Waits for a permit; `None` once the server is closed.
    pub(super) async fn acquire(&self) -> Option<Permit<'_>> {
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
        Some(Permit {
            _core: core,
            _instance: self.instances.acquire().await.ok()?,
        })
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
    pub(super) fn register(self: &Arc<Self>) -> InstanceGuard {
        let alive = self.alive.fetch_add(1, Relaxed) + 1;
        tracing::debug!("{alive} instances serve");
        InstanceGuard(self.clone())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Counts an instance for as long as it lives.
pub(super) struct InstanceGuard(Arc<InstancePool>);

impl InstanceGuard {
    /// Whether there are more instances than are needed.
    pub(super) fn is_surplus(&self) -> bool {
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
