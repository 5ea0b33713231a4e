//! How many requests are in components at once, and how many instances there are for them. As many as there are cores run, so that few
//! instances serve all and stay in the caches; one that takes its time (a first load, many rows, a loop) makes room for others after a
//! moment, up to the limit. What instances such a moment has left are given up when it is over: requests would go round all of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, SemaphorePermit};

/// How long a request waits for a core before it is let in beside those that hold them.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long after the last such request instances are given up.
const CALM: Duration = Duration::from_secs(1);
/// Instances for each core that are never given up: one answers while the other still tidies up.
const SPARE: usize = 2;

/// Taken before a component is asked.
pub(super) struct Admission {
    cores: Semaphore,
    instances: Semaphore,
    crew: Arc<InstancePool>,
}

/// Given back when it is dropped.
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
            crew: Arc::new(InstancePool {
                keep: cores * SPARE,
                alive: AtomicUsize::new(0),
                since: Instant::now(),
                crowded: AtomicU64::new(0),
            }),
        }
    }

    /// Waits for a place; `None` once there are none any more.
    pub(super) async fn acquire(&self) -> Option<Permit<'_>> {
        let core = match self.cores.try_acquire() {
            Ok(core) => Some(core),
            Err(_) => tokio::time::timeout(PATIENCE, self.cores.acquire()).await.ok().and_then(Result::ok),
        };
        if core.is_none() {
            self.crew.crowded.store(self.crew.now(), Relaxed);
        }
        Some(Permit {
            _core: core,
            _instance: self.instances.acquire().await.ok()?,
        })
    }

    pub(super) fn pool(&self) -> Arc<InstancePool> {
        self.crew.clone()
    }
}

/// The instances that there are.
pub(super) struct InstancePool {
    keep: usize,
    alive: AtomicUsize,
    since: Instant,
    /// When a request was let in without a core, microseconds.
    crowded: AtomicU64,
}

impl InstancePool {
    /// A new instance.
    pub(super) fn register(self: &Arc<Self>) -> InstanceGuard {
        let alive = self.alive.fetch_add(1, Relaxed) + 1;
        tracing::debug!("{alive} instances serve");
        InstanceGuard(self.clone())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// One instance's part in it, as long as it lives.
pub(super) struct InstanceGuard(Arc<InstancePool>);

impl InstanceGuard {
    /// Whether there are more instances than are needed now.
    pub(super) fn is_surplus(&self) -> bool {
        let crew = &self.0;
        crew.alive.load(Relaxed) > crew.keep && crew.now().saturating_sub(crew.crowded.load(Relaxed)) > CALM.as_micros() as u64
    }
}

impl Drop for InstanceGuard {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Relaxed);
    }
}
