//! One invocation of a stage's function: the payload becomes events, and the worker handles them.
//!
//! What fails for good has a dead letter and counts as handled: the queue would only bring it again. What may pass, and what cannot be
//! read, is given back to the queue, each item alone.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tidemill_core::{
    Error, Result, layout,
    notification::{EventKind, ObjectEvent, parse_events, parse_messages, parse_scheduled_time},
    pipeline::{MAX_RECEIVE_COUNT, NodeSettings, TrainingStep},
};
use tidemill_host::{Runner, SqlEngine, SqlOptions};
use tidemill_run::{DeliveryCount, Disposition, write_scheduled_event};
use tidemill_store::Store;
use tidemill_worker::{Delivered, Event, EventBody, EventSource, GiveBack, Report, Worker, WorkerOptions};

use crate::StageEnvironment;

/// A stage over a store.
pub struct Handler {
    node: NodeSettings,
    store: Store,
    worker: Arc<Worker>,
}

impl Handler {
    /// A function that runs its node's stage by `runner`.
    pub fn new(environment: StageEnvironment, store: Store, runner: Arc<dyn Runner>) -> Result<Self> {
        let node = environment.node;
        // To open DuckDB is a good part of a cold start.
        let open_sql = || {
            SqlEngine::on_small_disk(SqlOptions {
                cache_dir: std::env::temp_dir().join("tidemill-cache"),
                memory_bytes: environment.memory_bytes / 2,
                threads: std::thread::available_parallelism().map_or(1, usize::from),
                timeout: Duration::from_secs(node.timeout_seconds),
            })
        };
        let sql = runner.uses_sql().then(open_sql).transpose()?;
        let worker = Worker::new(WorkerOptions {
            nodes: vec![node.clone()],
            store: store.clone(),
            sql,
            runner,
            environment: run_environment(),
            progress: None,
        });
        Ok(Self {
            node,
            store,
            worker: Arc::new(worker),
        })
    }

    /// Handles an invocation. For an SQS batch the answer names the items that are to be delivered again; for any other payload it holds
    /// the decisions by key.
    pub async fn handle(&self, payload: &Value) -> Result<Value> {
        let Some(messages) = parse_messages(payload)? else {
            let objects = match parse_scheduled_time(payload) {
                Some(time) => vec![self.write_schedule(time).await?],
                None => parse_events(payload)?,
            };
            let event = Event {
                id: String::new(),
                body: EventBody::Objects(objects),
                count: DeliveryCount::from_receive_count(1),
            };
            return self.handle_events(vec![event]).await.into_decisions();
        };
        let ids: Vec<String> = messages.iter().map(|message| message.id.clone()).collect();
        let (mut events, mut failed) = (Vec::new(), BTreeSet::new());
        for message in messages {
            match message.events {
                Ok(objects) => events.push(Event {
                    id: message.id,
                    body: EventBody::Objects(objects),
                    count: self.delivery_count(message.receive_count),
                }),
                Err(error) => {
                    self.log_failure(&message.id, &error);
                    failed.insert(message.id);
                }
            }
        }
        for (id, error) in self.handle_events(events).await.failures {
            self.log_failure(&id, &error);
            failed.insert(id);
        }
        let failures = ids.into_iter().filter(|id| failed.contains(id));
        let failures = failures.map(|id| json!({ "itemIdentifier": id }));
        Ok(json!({ "batchItemFailures": failures.collect::<Vec<_>>() }))
    }

    /// A message that comes for the last time ended the function each time before, or it would be settled. One that may have waited for
    /// a training comes more often.
    fn delivery_count(&self, receives: u32) -> DeliveryCount {
        let count = DeliveryCount::from_receive_count(receives);
        let may_wait = self.node.policy().training == Some(TrainingStep::First);
        DeliveryCount {
            unfinished: if receives >= MAX_RECEIVE_COUNT && !may_wait {
                count.failures
            } else {
                0
            },
            ..count
        }
    }

    async fn handle_events(&self, events: Vec<Event>) -> Invocation {
        let source = Arc::new(InvocationSource {
            pending: Mutex::new(events.into()),
            handled: Mutex::default(),
        });
        // In the batch's order: an item may need the one before.
        self.worker.run(&source, 1).await;
        std::mem::take(&mut *source.handled.lock())
    }

    /// The event of a schedule that invokes the function itself.
    async fn write_schedule(&self, time: Timestamp) -> Result<ObjectEvent> {
        let node = &self.node;
        let every = node.every.filter(|every| !every.is_zero()).ok_or_else(|| {
            Error::config(format!(
                "a schedule invoked stage `{}` of `{}`, which has no `every`: say how often it runs",
                node.stage, node.resource
            ))
        })?;
        write_scheduled_event(&self.store, &node.stage, &node.resource, every, time).await?;
        Ok(ObjectEvent {
            bucket: String::new(),
            key: layout::schedule(&node.stage, &node.resource, every.window_start(time)),
            kind: EventKind::Created,
        })
    }

    fn log_failure(&self, message: &str, error: &Error) {
        tracing::error!("{} {}, message {message}: {error}", self.node.stage, self.node.resource);
    }
}

/// The events of one invocation: Lambda itself receives, deletes and hides messages.
struct InvocationSource {
    pending: Mutex<VecDeque<Event>>,
    handled: Mutex<Invocation>,
}

/// What came of the events of an invocation.
#[derive(Default)]
struct Invocation {
    dispositions: Vec<(String, Disposition)>,
    failures: Vec<(String, Error)>,
}

impl Invocation {
    fn into_decisions(self) -> Result<Value> {
        if let Some((_, error)) = self.failures.into_iter().next() {
            return Err(error);
        }
        let decisions = self.dispositions.into_iter().map(|(key, disposition)| (key, disposition.to_json()));
        Ok(Value::Object(decisions.collect::<Map<_, _>>()))
    }
}

impl EventSource for InvocationSource {
    async fn receive(&self) -> Option<Event> {
        self.pending.lock().pop_front()
    }

    async fn acknowledge(&self, _: Event, reports: Vec<Report>) {
        let settled = reports.into_iter().filter_map(|report| match report.delivered {
            Delivered::Settled(disposition) => Some((report.trigger.key, disposition)),
            Delivered::Ignored | Delivered::Changed(_) => None,
        });
        self.handled.lock().dispositions.extend(settled);
    }

    async fn give_back(&self, event: Event, reason: GiveBack) {
        let error = match reason {
            GiveBack::Wait(wait) => Error::transient(wait.to_string()),
            GiveBack::Failure(error) => error,
        };
        self.handled.lock().failures.push((event.id, error));
    }

    async fn extend(&self, _: &Event) {}
}

/// Goes into run records.
fn run_environment() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("tidemill".into(), env!("CARGO_PKG_VERSION").into()),
        ("machine".into(), format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)),
        ("runtime".into(), "lambda".into()),
    ])
}
