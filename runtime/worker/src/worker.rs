//! The one path of an event: delivery, run, outcome. Killed between any two steps, it is delivered again to the same effect.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use jiff::Timestamp;
use tidemill_core::{
    Digest, Error, Outcome, Result,
    pipeline::{Node, NodeSettings},
    record::OutcomeRecord,
};
use tidemill_host::{ProgressFn, RunHost, Runner, SqlEngine, Usage};
use tidemill_run::{
    AccessLog, Admission, Attempt, Budget, Delivery, DeliveryContext, DeliveryCount, Disposition, Ledger, RunReport, TriggerRef, failpoint,
    resolve_triggers,
};
use tidemill_store::Store;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{Event, EventBody, EventSource, GiveBack};

/// How much longer than its timeout a run may take before the worker stops waiting for it.
const TIMEOUT_GRACE: Duration = Duration::from_secs(5);
/// Between two calls of [`EventSource::extend`] for an event that is being handled.
const EXTEND_INTERVAL: Duration = Duration::from_secs(10);

/// Called with the progress of runs: node, fraction, message.
pub type ProgressCallback = Arc<dyn Fn(&str, f64, &str) + Send + Sync>;

/// What a worker is made of.
pub struct WorkerOptions {
    /// The nodes that it runs.
    pub nodes: Vec<NodeSettings>,
    /// The state.
    pub store: Store,
    /// Runs the queries of stages; `None` if its nodes handle records only.
    pub sql: Option<SqlEngine>,
    /// Runs stages.
    pub runner: Arc<dyn Runner>,
    /// Goes into run records: machine, version.
    pub environment: BTreeMap<String, String>,
    /// Called while stages run.
    pub progress: Option<ProgressCallback>,
}

/// The result of one trigger.
#[derive(Debug)]
pub struct Report {
    /// The node's stage.
    pub stage: String,
    /// The node's dataset or model.
    pub resource: String,
    /// The object.
    pub trigger: TriggerRef,
    /// What came of it.
    pub delivered: Delivered,
}

/// What came of a trigger that needs no further delivery.
#[derive(Debug)]
pub enum Delivered {
    /// The object does not exist any more, or no node waits for it.
    Ignored,
    /// The object has other content than the event says: its digest now.
    Changed(Digest),
    /// The trigger has an outcome or a dead letter.
    Settled(Disposition),
}

struct WorkerNode {
    settings: NodeSettings,
    node: Node,
    /// Component and configuration are in the store, for replay.
    is_persisted: AtomicBool,
}

/// Runs the stages of some nodes over one store.
pub struct Worker {
    nodes: Vec<WorkerNode>,
    store: Store,
    ledger: Ledger,
    sql: Option<SqlEngine>,
    runner: Arc<dyn Runner>,
    budget: Budget,
    environment: BTreeMap<String, String>,
    progress: Option<ProgressCallback>,
}

impl Worker {
    /// A worker for some nodes.
    pub fn new(options: WorkerOptions) -> Self {
        let nodes = options.nodes.into_iter().map(|settings| WorkerNode {
            node: settings.to_node(),
            settings,
            is_persisted: AtomicBool::new(false),
        });
        Self {
            nodes: nodes.collect(),
            ledger: Ledger::new(options.store.clone()),
            store: options.store,
            sql: options.sql,
            runner: options.runner,
            budget: Budget::default(),
            environment: options.environment,
            progress: options.progress,
        }
    }

    /// Handles the events of a source until it ends, at most `concurrency` at a time. Returns when the last one is handled.
    pub async fn run<S: EventSource>(self: &Arc<Self>, source: &Arc<S>, concurrency: usize) {
        let permits = Arc::new(Semaphore::new(concurrency.max(1)));
        let mut running = JoinSet::new();
        while let Ok(permit) = permits.clone().acquire_owned().await {
            let Some(event) = source.receive().await else { break };
            let (worker, source) = (self.clone(), source.clone());
            running.spawn(async move {
                worker.handle(&*source, event).await;
                drop(permit);
            });
            while running.try_join_next().is_some() {}
        }
        while running.join_next().await.is_some() {}
    }

    /// Handles one event, and acknowledges it or gives it back.
    pub async fn handle<S: EventSource>(&self, source: &S, event: Event) {
        let extend = async {
            loop {
                tokio::time::sleep(EXTEND_INTERVAL).await;
                source.extend(&event).await;
            }
        };
        // A panic here must not take an event for handled.
        let deliver = AssertUnwindSafe(self.deliver_all(&event)).catch_unwind();
        let result = tokio::select! {
            result = deliver => result.unwrap_or_else(|_| Err(GiveBack::Failure(Error::bug("the worker panicked")))),
            () = extend => return,
        };
        match result {
            Ok(reports) => source.acknowledge(event, reports).await,
            Err(reason) => source.give_back(event, reason).await,
        }
    }

    /// Everything that the event triggers, also where one of it fails; then the first reason to give it back.
    async fn deliver_all(&self, event: &Event) -> Result<Vec<Report>, GiveBack> {
        let (triggers, mut first) = self.triggers(event).await;
        let mut reports = Vec::new();
        for (node, trigger) in triggers {
            match self.deliver(node, &trigger, event.count).await {
                Ok(delivered) => reports.push(Report {
                    stage: node.node.stage.clone(),
                    resource: node.node.resource.clone(),
                    trigger,
                    delivered,
                }),
                Err(GiveBack::Failure(error)) => {
                    first.get_or_insert(GiveBack::Failure(error.context(format!("`{}`", trigger.key))));
                }
                Err(wait) => {
                    first.get_or_insert(wait);
                }
            }
        }
        first.map_or(Ok(reports), Err)
    }

    async fn triggers(&self, event: &Event) -> (Vec<(&WorkerNode, TriggerRef)>, Option<GiveBack>) {
        let (mut found, mut first) = (Vec::new(), None);
        match &event.body {
            EventBody::Trigger { stage, resource, trigger } => {
                let is_meant = |node: &&WorkerNode| node.node.stage == *stage && node.node.resource == *resource;
                found.extend(self.nodes.iter().find(is_meant).map(|node| (node, trigger.clone())));
            }
            EventBody::Objects(objects) => {
                for object in objects {
                    for node in &self.nodes {
                        match resolve_triggers(&self.store, &node.settings, object).await {
                            Ok(triggers) => found.extend(triggers.into_iter().map(|trigger| (node, trigger))),
                            Err(error) => {
                                tracing::error!("{}, `{}`: {error}", node.node.id(), object.key);
                                first.get_or_insert(GiveBack::Failure(error));
                            }
                        }
                    }
                }
            }
        }
        (found, first)
    }

    async fn deliver(&self, node: &WorkerNode, trigger: &TriggerRef, count: DeliveryCount) -> Result<Delivered, GiveBack> {
        let context = DeliveryContext {
            store: &self.store,
            ledger: &self.ledger,
            budget: &self.budget,
            node: &node.settings,
        };
        match Delivery::admit(context, trigger, count).await.map_err(GiveBack::Failure)? {
            Admission::Gone => {
                tracing::info!("`{}` was deleted before it was read", trigger.key);
                Ok(Delivered::Ignored)
            }
            Admission::Changed(digest) => Ok(Delivered::Changed(digest)),
            Admission::Settled(disposition) => Ok(Delivered::Settled(disposition)),
            Admission::Waiting(wait) => Err(GiveBack::Wait(wait)),
            Admission::Admitted(delivery) => {
                let result = self.run_stage(node, &delivery).await;
                let settled = delivery.settle(context, result).await;
                settled.map(Delivered::Settled).map_err(GiveBack::Failure)
            }
        }
    }

    async fn run_stage(&self, node: &WorkerNode, delivery: &Delivery) -> Result<OutcomeRecord> {
        let (digest, component) = self.component(&node.node).await?;
        let attempt = delivery.attempt(&node.node, digest);
        if !node.is_persisted.load(Ordering::SeqCst) {
            attempt.persist_inputs(&self.store, component).await?;
            node.is_persisted.store(true, Ordering::SeqCst);
        }
        let started = Timestamp::now();
        failpoint!("before-run");
        let (result, accesses, usage) = self.call(&node.node, &attempt).await?;
        failpoint!("after-run");
        let report = RunReport {
            started,
            result,
            accesses,
            duration_ms: usage.duration.as_millis().try_into().unwrap_or(u64::MAX),
            memory_bytes: usage.memory_bytes,
            attempt: delivery.attempt_number(),
            environment: self.environment.clone(),
        };
        attempt.commit(&self.ledger, report).await
    }

    /// The digest of the node's component, and its bytes where it has some.
    async fn component(&self, node: &Node) -> Result<(Digest, Option<Vec<u8>>)> {
        let (runner, node) = (self.runner.clone(), node.clone());
        let found = tokio::task::spawn_blocking(move || Ok((runner.component_digest(&node)?, runner.component_bytes(&node)?)));
        found.await.map_err(thread_error)?
    }

    async fn call(&self, node: &Node, attempt: &Attempt) -> Result<(Result<Outcome>, AccessLog, Usage)> {
        let progress = self.progress.clone().map(|report| {
            let id = node.id();
            Arc::new(move |fraction: f64, message: &str| report(&id, fraction, message)) as ProgressFn
        });
        let host = RunHost::for_attempt(attempt, self.store.clone(), self.sql.clone(), progress);
        let (runner, of, trigger) = (self.runner.clone(), node.clone(), attempt.trigger().clone());
        let ran = tokio::task::spawn_blocking(move || runner.run(&of, &trigger, host));
        match tokio::time::timeout(node.timeout + TIMEOUT_GRACE, ran).await {
            Ok(ran) => ran.map_err(thread_error),
            Err(_) => Err(node.timeout_error()),
        }
    }
}

fn thread_error(error: tokio::task::JoinError) -> Error {
    Error::bug(format!("the thread of a stage ended: {error}"))
}
