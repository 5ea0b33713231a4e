//! The scheduler: takes what is due, runs it, closes windows, looks for new objects, ticks. One loop; the work is in the other files.
//!
//! `quiet` looks at the store once more before it says so, since a file that was dropped a moment ago may not have been noticed yet.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Serialize;
use tidemill_core::{Digest, Error, PutResult, Result, pipeline::Pipeline};
use tidemill_host::{Ledger, SqlEngine, Store};
use tokio::sync::mpsc;

use crate::{
    budget::Budget,
    execute::execute,
    queue::{Queue, QueueItem},
    runner::Runner,
    scan::{LOOK_GAP, is_foreign, looking},
    schedule,
    state::{Inner, lock, now},
    watch::{Notice, watch},
    windows::WindowSource,
};

/// Tells how a run gets on: node, fraction, message.
pub type ProgressCallback = Arc<dyn Fn(&str, f64, &str) + Send + Sync>;

/// How the flow works.
#[derive(Clone)]
pub struct FlowOptions {
    /// Between two listings of the places where objects appear.
    pub poll_interval: Duration,
    /// The queue's file; `None` keeps it in memory.
    pub queue_path: Option<PathBuf>,
    /// Most runs at once, over all stages.
    pub concurrency: usize,
    /// Whether a local store is watched (else only listed).
    pub watch: bool,
    /// Test hook: every event is delivered so many times (0 and 1: once), in shuffled order.
    pub duplicate: u32,
    /// The seed of that order.
    pub shuffle: u64,
    /// Goes into run records: machine, version.
    pub environment: BTreeMap<String, String>,
    /// Called while stages run.
    pub progress: Option<ProgressCallback>,
}

impl Default for FlowOptions {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(5),
            queue_path: None,
            concurrency: std::thread::available_parallelism().map_or(2, usize::from),
            watch: true,
            duplicate: 1,
            shuffle: 0,
            environment: BTreeMap::new(),
            progress: None,
        }
    }
}

/// What a flow is made of.
pub struct FlowSetup {
    /// The checked project.
    pub pipeline: Arc<Pipeline>,
    /// The state.
    pub store: Store,
    /// For stages.
    pub sql: SqlEngine,
    /// Runs stages.
    pub runner: Arc<dyn Runner>,
    /// The prediction log.
    pub windows: Arc<dyn WindowSource>,
    /// How it works.
    pub options: FlowOptions,
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Nothing is running, waiting or about to happen.
    pub quiet: bool,
    /// Runs at this moment.
    pub running: usize,
    /// Events that wait, also for a retry.
    pub queued: usize,
    /// Events that wait for the next day's budget: they do not keep the flow from being quiet.
    pub held: usize,
    /// Events that failed for good.
    pub dead: usize,
}

/// A running flow. Clones are the same flow.
#[derive(Clone)]
pub struct Flow {
    inner: Arc<Inner>,
    task: Arc<Mutex<Option<tokio::task::JoinHandle<()>>>>,
}

impl Flow {
    /// Rebuilds what is to do from the store, and begins. Call within a multi-threaded tokio runtime.
    pub async fn start(setup: FlowSetup) -> Result<Self> {
        let queue = Queue::open(setup.options.queue_path.as_deref())?;
        queue.retain(|item| setup.pipeline.node(&item.stage, &item.resource).is_some());
        let inner = Arc::new(Inner {
            pipeline: setup.pipeline,
            ledger: Ledger::new(setup.store.clone()),
            store: setup.store,
            sql: setup.sql,
            runner: setup.runner,
            windows: setup.windows,
            queue,
            settled: Mutex::default(),
            dead: Mutex::default(),
            looks: Mutex::default(),
            budget: Budget::default(),
            wake: tokio::sync::Notify::new(),
            dirty: AtomicBool::new(true),
            closing: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            scanning: tokio::sync::Mutex::new(()),
            random: AtomicU64::new(setup.options.shuffle),
            options: setup.options,
        });
        let (sender, notices) = mpsc::unbounded_channel();
        let watcher = inner
            .store
            .local_root()
            .filter(|_| inner.options.watch)
            .and_then(|root| watch(root, Arc::new(move |notice| drop(sender.send(notice)))));
        inner.rebuild().await?;
        let task = tokio::spawn(drive(inner.clone(), notices, watcher));
        Ok(Self {
            inner,
            task: Arc::new(Mutex::new(Some(task))),
        })
    }

    /// Writes an object where nothing is, and takes it in at once if it triggers something.
    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<PutResult> {
        let put = self.inner.store.create(key, bytes.into()).await?;
        if put != PutResult::Conflict && is_foreign(&self.inner.pipeline, key) {
            self.inner.take_in(key).await?;
        }
        Ok(put)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Takes in an object that others wrote and somebody announced, by its key in the store, without waiting for the next listing. What
    /// triggers nothing, or is gone, is passed over.
    pub async fn notify_key(&self, key: &str) -> Result<()> {
        match is_foreign(&self.inner.pipeline, key) {
            true => self.inner.take_in(key).await,
            false => Ok(()),
        }
    }

    /// Returns when nothing is running, waiting or about to happen. Events that are held back by a daily budget do not count.
    pub async fn wait_idle(&self) -> Result<()> {
        while !self.is_quiet().await? {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn is_quiet(&self) -> Result<bool> {
        if !self.inner.rests() {
            return Ok(false);
        }
        self.inner.scan(false).await.map_err(looking)?;
        Ok(self.inner.rests())
    }

    /// How it stands now.
    pub async fn status(&self) -> Result<Status> {
        let quiet = self.is_quiet().await?;
        // First the letters: one that was revived since then is among the items.
        let dead = lock(&self.inner.dead).values().filter(|letter| !letter.dropped).count();
        let items = self.inner.queue.items();
        let held = items.iter().filter(|(item, _)| item.held).count();
        let running = items.iter().filter(|(_, runs)| *runs).count();
        Ok(Status {
            quiet: quiet && held == items.len(),
            running,
            held,
            queued: items.len() - running - held,
            dead,
        })
    }

    /// What waits or runs (then `true`).
    pub fn items(&self) -> Vec<(QueueItem, bool)> {
        self.inner.queue.items()
    }

    /// Lets what runs finish, starts nothing more.
    pub async fn stop(&self) -> Result<()> {
        self.inner.stopping.store(true, Ordering::SeqCst);
        self.inner.wake.notify_one();
        let task = lock(&self.task).take();
        match task {
            Some(task) => task.await.map_err(|e| Error::bug(format!("the flow's loop ended: {e}"))),
            None => Ok(()),
        }
    }
}

impl Inner {
    fn rests(&self) -> bool {
        !self.closing.load(Ordering::SeqCst)
            && !self.dirty.load(Ordering::SeqCst)
            && lock(&self.looks).is_empty()
            && !self.queue.any(|item| !item.held)
    }

    fn next(&self) -> Option<QueueItem> {
        if self.running.load(Ordering::SeqCst) >= self.options.concurrency {
            return None;
        }
        let limit = |item: &QueueItem| {
            self.pipeline
                .node(&item.stage, &item.resource)
                .map_or(1, |node| node.concurrency.max(1))
        };
        self.queue.take(now(), &limit)
    }

    async fn tick(&self) -> Result<()> {
        for (key, bytes) in schedule::write_due_events(&self.pipeline, &self.store, Timestamp::now()).await? {
            self.route_object(&key, &Digest::sha256(&bytes), 0, None);
        }
        Ok(())
    }

    async fn notice(&self, notice: Notice) -> Result<()> {
        match notice {
            Notice::Complete(key) => self.look(&key, true).await,
            Notice::Touched(key) if key.starts_with("dead/") => self.revive().await,
            Notice::Touched(key) => self.look(&key, false).await,
        }
    }
}

async fn drive(inner: Arc<Inner>, mut notices: mpsc::UnboundedReceiver<Notice>, watcher: Option<notify::RecommendedWatcher>) {
    let mut next_scan = Instant::now() + inner.options.poll_interval;
    let mut next_tick = Instant::now();
    let mut next_close = Instant::now();
    while !inner.stopping.load(Ordering::SeqCst) {
        let at = Instant::now();
        if at >= next_tick {
            report(inner.tick().await);
            next_tick = at + Duration::from_secs(1);
        }
        if at >= next_scan {
            report(inner.scan(false).await);
            next_scan = Instant::now() + inner.options.poll_interval;
        }
        if !lock(&inner.looks).is_empty() {
            report(inner.look_again().await);
        }
        start_due(&inner);
        if inner.dirty.load(Ordering::SeqCst) && at >= next_close {
            inner.closing.store(true, Ordering::SeqCst);
            let closed = inner.close_windows().await;
            inner.closing.store(false, Ordering::SeqCst);
            if closed.is_err() {
                next_close = Instant::now() + Duration::from_secs(1);
            }
            report(closed);
            start_due(&inner);
        }
        let wait = sleep_for(&inner, next_scan.min(next_tick), next_close);
        tokio::select! {
            () = inner.wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
            Some(notice) = notices.recv(), if watcher.is_some() => report(inner.notice(notice).await),
        }
    }
    while inner.running.load(Ordering::SeqCst) > 0 {
        inner.wake.notified().await;
    }
}

fn start_due(inner: &Arc<Inner>) {
    while let Some(item) = inner.next() {
        let running = Running::new(inner.clone());
        tokio::spawn(async move {
            execute(&running.0, item).await;
        });
    }
}

fn sleep_for(inner: &Inner, next: Instant, next_close: Instant) -> Duration {
    let mut wait = next.saturating_duration_since(Instant::now());
    if !lock(&inner.looks).is_empty() {
        wait = wait.min(LOOK_GAP);
    }
    if inner.dirty.load(Ordering::SeqCst) {
        wait = wait.min(next_close.saturating_duration_since(Instant::now()).max(LOOK_GAP));
    }
    // What is due already waits for a run to end, and that wakes the loop.
    match inner.queue.next_due_after(now()) {
        Some(due) => wait.min(Duration::from_millis((due - now()).max(1) as u64)),
        None => wait,
    }
}

/// Counts a run, also one that panics.
struct Running(Arc<Inner>);

impl Running {
    fn new(inner: Arc<Inner>) -> Self {
        inner.running.fetch_add(1, Ordering::SeqCst);
        Self(inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.wake.notify_one();
    }
}

fn report(result: Result<()>) {
    if let Err(error) = result {
        tracing::error!("{error}");
    }
}
