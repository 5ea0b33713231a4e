//! One invocation of a stage's function: what the payload names is looked at, run and committed. Killed between any two of these, it is
//! done again to the same effect.
//!
//! What fails for good becomes a dead letter, as in the flow, and counts as handled: a queue would only bring it again. What may pass,
//! and what cannot be read, is given back to the queue, each item alone.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tidemill_core::{
    Error, Result,
    notification::{EventKind, ObjectEvent, parse_events, parse_messages, parse_scheduled_time},
    pipeline::Node,
    record::OutcomeRecord,
};
use tidemill_flow::{Budget, Runner, write_scheduled_event};
use tidemill_host::{
    Admission, Attempt, Delivery, Disposition, Ledger, RunHost, RunReport, SqlEngine, SqlOptions, Store, TriggerRef, resolve_triggers,
};

use crate::{StageEnvironment, training_order};

/// How much longer than its timeout a run may take before it is given up.
const GRACE: Duration = Duration::from_secs(5);

/// A stage over a store.
pub struct Handler {
    settings: StageEnvironment,
    node: Node,
    store: Store,
    ledger: Ledger,
    sql: SqlEngine,
    runner: Arc<dyn Runner>,
    budget: Budget,
    /// Component and configuration are in the store, for replay.
    kept: AtomicBool,
}

impl Handler {
    /// A function that runs its node's stage by `runner`.
    pub fn new(settings: StageEnvironment, store: Store, runner: Arc<dyn Runner>) -> Result<Self> {
        let sql = SqlEngine::on_small_disk(SqlOptions {
            cache_dir: std::env::temp_dir().join("tidemill-cache"),
            memory_bytes: settings.memory_bytes / 2,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            timeout: Duration::from_secs(settings.node.timeout_seconds),
        })?;
        Ok(Self {
            node: settings.node.to_node(),
            ledger: Ledger::new(store.clone()),
            settings,
            store,
            sql,
            runner,
            budget: Budget::default(),
            kept: AtomicBool::new(false),
        })
    }

    /// Handles whatever Lambda hands over. For an SQS batch the answer names the items that are to come again; for anything else it
    /// holds the decisions by key.
    pub async fn handle(&self, payload: &Value) -> Result<Value> {
        if let Some(messages) = parse_messages(payload)? {
            let mut failures = Vec::new();
            for message in messages {
                let handled = match message.events {
                    Ok(notices) => self.all(&notices, message.receive_count).await.map(drop),
                    Err(error) => Err(error),
                };
                if let Err(error) = handled {
                    self.report(&format!("message {}, delivery {}", message.id, message.receive_count), &error);
                    failures.push(json!({ "itemIdentifier": message.id }));
                }
            }
            return Ok(json!({ "batchItemFailures": failures }));
        }
        let notices = match parse_scheduled_time(payload) {
            Some(time) => self.tick(time).await?,
            None => parse_events(payload)?,
        };
        let decisions = self.all(&notices, 1).await?;
        Ok(Value::Object(
            decisions
                .into_iter()
                .map(|(key, came)| (key, came.to_json()))
                .collect::<Map<_, _>>(),
        ))
    }

    /// A schedule may call the function itself: its tick is the trigger.
    async fn tick(&self, time: Timestamp) -> Result<Vec<ObjectEvent>> {
        let node = &self.settings.node;
        let every = node.every.filter(|every| !every.is_zero()).ok_or_else(|| {
            Error::config(format!(
                "a schedule called stage `{}` of `{}`, which has no `every`: say how often it runs",
                node.stage, node.resource
            ))
        })?;
        write_scheduled_event(&self.store, &node.stage, &node.resource, every, time).await?;
        Ok(vec![ObjectEvent {
            bucket: String::new(),
            key: tidemill_flow::scheduled_event_key(&node.stage, &node.resource, every.window_start(time)),
            kind: EventKind::Created,
        }])
    }

    /// All that these notices cause, also where one of them fails; then the first error.
    async fn all(&self, notices: &[ObjectEvent], receives: u32) -> Result<Vec<(String, Disposition)>> {
        let (mut came, mut first) = (Vec::new(), None);
        for notice in notices {
            let causes = match resolve_triggers(&self.store, &self.settings.node, notice).await {
                Ok(causes) => causes,
                Err(error) => {
                    self.report(&format!("`{}`", notice.key), &error);
                    first.get_or_insert(error);
                    continue;
                }
            };
            for caused in causes {
                match self.one(&caused, receives).await {
                    Ok(Some(one)) => came.push((caused.key, one)),
                    Ok(None) => {}
                    Err(error) => {
                        first.get_or_insert(error.context(format!("`{}`", caused.key)));
                    }
                }
            }
        }
        first.map_or(Ok(came), Err)
    }

    /// `None` if the object is gone.
    async fn one(&self, caused: &TriggerRef, receives: u32) -> Result<Option<Disposition>> {
        let pending = match Delivery::admit(&self.store, &self.ledger, &self.settings.node, caused, receives).await? {
            Admission::Gone => {
                tracing::info!("`{}` is gone before it was read", caused.key);
                return Ok(None);
            }
            Admission::Settled(came) => return Ok(Some(came)),
            Admission::Admitted(pending) => pending,
        };
        // Who waits has not failed: this goes back to the queue however often it came.
        training_order::check(&self.store, &self.ledger, &self.budget, &self.node, pending.key(), pending.id()).await?;
        let result = self.run(&pending, receives).await;
        pending.settle(&self.store, &self.settings.node, result).await.map(Some)
    }

    async fn run(&self, pending: &Delivery, receives: u32) -> Result<OutcomeRecord> {
        let node = &self.node;
        let attempt = pending.attempt(&self.settings.node, node, self.runner.component_digest(node)?)?;
        if !self.kept.load(Ordering::SeqCst) {
            attempt.persist_inputs(&self.store, self.runner.component_bytes(node)?).await?;
            self.kept.store(true, Ordering::SeqCst);
        }
        let ran = self.call(&attempt, receives).await?;
        attempt.commit(&self.ledger, ran).await
    }

    async fn call(&self, attempt: &Attempt, receives: u32) -> Result<RunReport> {
        let host = RunHost::for_attempt(attempt, self.store.clone(), self.sql.clone(), None);
        let (runner, node, trigger) = (self.runner.clone(), self.node.clone(), attempt.trigger().clone());
        let started = Timestamp::now();
        let ran = tokio::task::spawn_blocking(move || runner.run(&node, &trigger, host));
        // Lambda would end the process a little later, and nobody would learn why.
        let ran = tokio::time::timeout(self.node.timeout + GRACE, ran)
            .await
            .map_err(|_| self.node.timeout_error())?;
        let (result, recorded, usage) = ran.map_err(|e| Error::bug(format!("the thread of stage `{}` ended: {e}", self.node.stage)))?;
        Ok(RunReport {
            started,
            result,
            accesses: recorded,
            duration_ms: usage.duration.as_millis().try_into().unwrap_or(u64::MAX),
            memory_bytes: usage.memory_bytes,
            attempt: receives,
            environment: environment(),
        })
    }

    fn report(&self, what: &str, error: &Error) {
        tracing::error!("{} {}, {what}: {error}", self.node.stage, self.node.resource);
    }
}

/// Goes into run records, for people.
fn environment() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("tidemill".into(), env!("CARGO_PKG_VERSION").into()),
        ("machine".into(), format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)),
        ("runtime".into(), "lambda".into()),
    ])
}
