//! The children of an engine: at most so many, used again while healthy, one kept warm.

use std::{
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tidemill_core::{Error, Result};

use super::{SqlChildren, process::ChildProcess, wire::Setup};
use crate::sql::{SqlOptions, cache::Cache, cache_dir::CacheDir};

/// A child that nobody used for so long is ended, if it is not the only one.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Memory of a child that DuckDB does not count: the program and the library (25 MiB), lists and texts, rows on their way.
const UNCOUNTED_BYTES: u64 = 256 << 20;

/// The children.
#[derive(Debug)]
pub(in crate::sql) struct Pool {
    program: PathBuf,
    setup: Setup,
    count: usize,
    state: Mutex<State>,
    freed: Condvar,
    // Their files; after `state`, so that they end before it goes.
    _dir: Arc<CacheDir>,
}

#[derive(Debug, Default)]
struct State {
    /// Each with the time when it came back, the last one last.
    idle: Vec<(ChildProcess, Instant)>,
    leased: usize,
}

impl Pool {
    /// Starts the first child.
    pub(in crate::sql) fn start(options: &SqlOptions, children: SqlChildren, cache: &Cache) -> Result<Arc<Self>> {
        let count = children.count.max(1);
        let memory_bytes = options.memory_bytes / count as u64;
        let pool = Arc::new(Self {
            program: children.program,
            setup: Setup {
                folder: cache.dir().to_owned(),
                spill: cache.dir().to_owned(),
                memory_bytes,
                counted_bytes: memory_bytes - UNCOUNTED_BYTES.min(memory_bytes / 2),
                spill_bytes: options.memory_bytes * 4,
                threads: options.threads.max(1),
                timeout: options.timeout,
            },
            count,
            state: Mutex::default(),
            freed: Condvar::new(),
            _dir: cache.hold_dir(),
        });
        let first = pool.start_child()?;
        pool.state.lock().idle.push((first, Instant::now()));
        let weak = Arc::downgrade(&pool);
        std::thread::Builder::new()
            .name("sql-children".into())
            .spawn(move || end_idle(&weak))
            .map_err(|e| Error::transient(format!("no thread could be started for SQL: {e}")))?;
        Ok(pool)
    }

    /// The time limit of a query.
    pub(super) fn timeout(&self) -> Duration {
        self.setup.timeout
    }

    /// Starts a child. Its caller holds a place.
    pub(super) fn start_child(&self) -> Result<ChildProcess> {
        ChildProcess::start(&self.program, self.setup.clone())
    }

    /// Takes a place, and the child that was used last if one is idle. Waits for as long as a query may take.
    pub(super) fn take(&self) -> Result<Option<ChildProcess>> {
        let deadline = Instant::now() + self.setup.timeout;
        let mut state = self.state.lock();
        loop {
            // A child that ended while it was idle costs nobody a query.
            while let Some((mut child, _)) = state.idle.pop() {
                if child.is_reusable() {
                    state.leased += 1;
                    return Ok(Some(child));
                }
            }
            if state.leased < self.count {
                state.leased += 1;
                return Ok(None);
            }
            if self.freed.wait_until(&mut state, deadline).timed_out() {
                return Err(Error::busy(format!(
                    "all {} processes for SQL were in use for {} seconds; it is tried again",
                    self.count,
                    self.setup.timeout.as_secs_f64()
                )));
            }
        }
    }

    /// Gives a place back, with its child, and starts another one if that is at its end.
    pub(super) fn give_back(&self, child: Option<ChildProcess>) {
        let mut reusable = child.and_then(|mut child| child.is_reusable().then_some(child));
        {
            let mut state = self.state.lock();
            state.leased -= 1;
            if reusable.is_none() && state.leased + state.idle.len() == 0 {
                // A failure will be said by the next query.
                reusable = self.start_child().ok();
            }
            state.idle.extend(reusable.map(|child| (child, Instant::now())));
        }
        self.freed.notify_one();
    }

    /// Takes out what was not used for a while, and leaves one.
    fn take_idle(&self) -> Vec<(ChildProcess, Instant)> {
        let mut state = self.state.lock();
        let old = state.idle.iter().filter(|(_, since)| since.elapsed() > IDLE_TIME).count();
        let spare = state.idle.len().saturating_sub(usize::from(state.leased == 0));
        // The longest unused first.
        state.idle.drain(..old.min(spare)).collect()
    }
}

fn end_idle(pool: &Weak<Pool>) {
    loop {
        std::thread::sleep(IDLE_TIME / 12);
        let Some(pool) = pool.upgrade() else { return };
        drop(pool.take_idle());
    }
}
