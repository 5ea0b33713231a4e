//! A running flow: a worker over its queue, and a scheduler (`scheduler.rs`). Here it is started, asked and stopped.
//!
//! A flow that seems idle lists the store once more before it says so: a file that was written a moment ago may not have been noticed.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::Serialize;
use tidemill_core::{Error, PutResult, Result, pipeline::deployment::CoordinatorSettings};
use tidemill_store::Store;
use tidemill_worker::{Coordinator, EventSource, Worker, WorkerOptions};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    options::FlowSetup,
    queue::{Queue, QueueItem},
    scheduler::schedule,
    source::QueueSource,
    state::FlowState,
    watch::watch,
};

/// The state of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Nothing runs, waits or is about to happen.
    pub quiet: bool,
    /// Runs at this moment.
    pub running: usize,
    /// Events that wait, also for a retry.
    pub queued: usize,
    /// Events that wait for the next day's budget: the flow is quiet all the same.
    pub held: usize,
    /// Events that failed for good.
    pub dead: usize,
}

/// A running flow. Clones are the same flow.
#[derive(Clone)]
pub struct Flow {
    state: Arc<FlowState>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Flow {
    /// Opens the queue, queues what the store says is to do, and starts to work.
    ///
    /// # Errors
    /// `Config` if another process uses the queue's file; otherwise, what the store answers.
    pub async fn start(setup: FlowSetup) -> Result<Self> {
        Self::start_with(setup, default_source).await
    }

    /// Like [`start`](Self::start), with a source that `wrap` makes of the queue: a test may deliver events more than once.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub async fn start_with<S: EventSource>(setup: FlowSetup, wrap: impl FnOnce(QueueSource) -> S) -> Result<Self> {
        let queue = Queue::open(setup.options.queue_path.as_deref())?;
        Self::start_over(Arc::new(queue), setup, wrap).await
    }

    /// Stops this flow as [`stop`](Self::stop) does, and starts another one over the same queue, whose file stays open: what waits, and
    /// what comes meanwhile, is done by the new flow.
    ///
    /// # Errors
    /// What the store answers. This flow is stopped then; it may be [replaced](Self::replace) again.
    pub async fn replace(&self, setup: FlowSetup) -> Result<Self> {
        self.stop().await?;
        Self::start_over(self.state.queue.clone(), setup, default_source).await
    }

    async fn start_over<S: EventSource>(queue: Arc<Queue>, setup: FlowSetup, wrap: impl FnOnce(QueueSource) -> S) -> Result<Self> {
        let FlowSetup {
            pipeline,
            store,
            sql,
            runner,
            windows,
            options,
        } = setup;
        queue.retain(|item| pipeline.node(&item.stage, &item.resource).is_some());
        let coordinator = Coordinator::new(CoordinatorSettings::from_pipeline(&pipeline), store.clone(), windows);
        let state = Arc::new(FlowState::new(pipeline, store.clone(), coordinator, options, queue));
        let source = Arc::new(wrap(QueueSource::new(state.clone())));
        let (sender, file_events) = mpsc::unbounded_channel();
        let root = store.local_root().filter(|_| state.options.watch);
        let watcher = root.and_then(|root| watch(root, Arc::new(move |event| drop(sender.send(event)))));
        state.rebuild().await?;
        let worker = Arc::new(Worker::new(WorkerOptions {
            nodes: state.nodes.clone(),
            store,
            sql: Some(sql),
            runner,
            environment: state.options.environment.clone(),
            progress: state.options.progress.clone(),
        }));
        let concurrency = state.options.concurrency;
        let tasks = vec![
            tokio::spawn(async move { worker.run(&source, concurrency).await }),
            tokio::spawn(schedule(state.clone(), file_events, watcher)),
        ];
        Ok(Self {
            state,
            tasks: Arc::new(Mutex::new(tasks)),
        })
    }

    /// Writes an object that does not exist yet, and queues what it triggers.
    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<PutResult> {
        let put = self.state.store.create(key, bytes.into()).await?;
        if put != PutResult::Conflict {
            self.notify_key(key).await?;
        }
        Ok(put)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.state.store
    }

    /// Takes in an object that another program wrote, without waiting for the next listing. A key that triggers nothing, or does not
    /// exist, is ignored.
    pub async fn notify_key(&self, key: &str) -> Result<()> {
        match self.state.is_external(key) {
            true => self.state.ingest(key).await,
            false => Ok(()),
        }
    }

    /// Returns when nothing runs, waits or is about to happen. Events that are held back by a daily budget do not count.
    pub async fn wait_idle(&self) -> Result<()> {
        while !self.is_idle().await? {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn is_idle(&self) -> Result<bool> {
        if !self.state.is_at_rest() {
            return Ok(false);
        }
        self.state.scan(false).await.map_err(|e| e.context("cannot look for new objects"))?;
        Ok(self.state.is_at_rest())
    }

    /// The state of the flow now.
    pub async fn status(&self) -> Result<Status> {
        let quiet = self.is_idle().await?;
        // First the letters: one that was revived since then is among the items.
        let dead = self.state.dead_letters().iter().filter(|letter| !letter.dropped).count();
        let items = self.state.queue.items();
        let held = items.iter().filter(|(item, _)| item.held).count();
        let running = items.iter().filter(|(_, is_running)| *is_running).count();
        Ok(Status {
            quiet: quiet && held == items.len(),
            running,
            held,
            queued: items.len() - running - held,
            dead,
        })
    }

    /// The events that wait, and those that run (then `true`).
    pub fn items(&self) -> Vec<(QueueItem, bool)> {
        self.state.queue.items()
    }

    /// Whether the flow was not stopped.
    pub fn is_running(&self) -> bool {
        !self.state.is_stopping()
    }

    /// Starts no more runs, and returns when the running ones are finished.
    pub async fn stop(&self) -> Result<()> {
        self.state.stop();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            task.await.map_err(|e| Error::bug(format!("a loop of the flow ended: {e}")))?;
        }
        Ok(())
    }
}

#[cfg(not(all(feature = "failpoints", debug_assertions)))]
fn default_source(source: QueueSource) -> impl EventSource {
    source
}

/// With what the environment of a crash test asks for.
#[cfg(all(feature = "failpoints", debug_assertions))]
fn default_source(source: QueueSource) -> impl EventSource {
    tidemill_run::enable_failpoints();
    tidemill_worker::Redelivery::from_environment(source)
}
