//! The runs of the pipeline's stages: their triggers and their committed outcomes. One run is in progress at a time.

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use jiff::Timestamp;
use serde_json::json;
use tidemill_core::{
    Digest, Error, Outcome, PutResult, Result, RunContext,
    notification::{EventKind, ObjectEvent, parse_http},
    pipeline::{KeyRole, NodeSettings},
    record::OutcomeRecord,
};
use tidemill_run::{
    Admission, Attempt, Budget, Delivery, DeliveryContext, DeliveryCount, Ledger, RunReport, ScopedObjects, TriggerRef, resolve_triggers,
};
use tidemill_store::{BlockingStore, Store, ready};

use crate::{
    RunHost,
    bindings::exports::tidemill::{
        runs::{
            ingest, pipeline,
            runs::{self, Guest, Job, Started},
        },
        stage::types,
    },
    convert::{error_from_wit, error_to_wit, outcome_from_wit, trigger_to_wit},
    settings::{self, Settings},
};

/// The store and the nodes of this instance.
pub(crate) struct Instance {
    store: Store,
    ledger: Ledger,
    budget: Budget,
    settings: Settings,
}

/// The run that a stage's imports belong to.
pub(crate) struct CurrentRun {
    pub(crate) context: RunContext,
    pub(crate) objects: ScopedObjects<BlockingStore>,
    settings: NodeSettings,
    delivery: Delivery,
    attempt: Attempt,
    started: Timestamp,
    clock: Instant,
}

thread_local! {
    /// One thread, which lives as long as the instance.
    static INSTANCE: OnceCell<Instance> = const { OnceCell::new() };
    static RUN: RefCell<Option<CurrentRun>> = const { RefCell::new(None) };
}

fn with_instance<T>(work: impl FnOnce(&Instance) -> Result<T>) -> Result<T> {
    INSTANCE.with(|cell| {
        if cell.get().is_none() {
            let store = Store::open_variables(settings::variable)?;
            let instance = Instance {
                ledger: Ledger::new(store.clone()),
                budget: Budget::default(),
                settings: settings::read()?,
                store,
            };
            let _just_now = cell.set(instance);
        }
        cell.get().map_or_else(|| Err(Error::bug("the store was not kept")), work)
    })
}

/// Calls `work` with the current run.
pub(crate) fn with_run<T>(work: impl FnOnce(&CurrentRun) -> Result<T>) -> Result<T> {
    RUN.with_borrow(|run| match run {
        Some(run) => work(run),
        None => Err(Error::bug("no run is in progress")),
    })
}

impl ingest::Guest for RunHost {
    fn put(key: String, bytes: Vec<u8>) -> Result<bool, types::Error> {
        let put = with_instance(|instance| match ready(instance.store.create(&key, bytes.into()))? {
            PutResult::Written => Ok(true),
            PutResult::Unchanged => Ok(false),
            PutResult::Conflict => Err(Error::conflict(format!("`{key}` exists with other content"))),
        });
        put.map_err(error_to_wit)
    }
}

/// The end of the pipeline.
impl pipeline::Guest for RunHost {
    fn handle(_: u32, _: Vec<(String, String)>, _: Vec<u8>) -> Vec<pipeline::StageResult> {
        Vec::new()
    }
}

impl Guest for RunHost {
    fn resolve(stage: u32, headers: Vec<(String, String)>, body: Vec<u8>) -> Result<Vec<runs::TriggerRef>, types::Error> {
        with_instance(|instance| resolve(instance, stage, headers, &body)).map_err(error_to_wit)
    }

    fn start_run(stage: u32, trigger: runs::TriggerRef) -> Result<Started, types::Error> {
        with_instance(|instance| start_run(instance, stage, &trigger)).map_err(error_to_wit)
    }

    fn finish_run(outcome: Result<types::Outcome, types::Error>) -> Result<String, types::Error> {
        with_instance(|instance| finish_run(instance, outcome.map_err(error_from_wit).and_then(outcome_from_wit))).map_err(error_to_wit)
    }
}

impl Instance {
    fn nodes(&self, stage: u32) -> Result<&[NodeSettings]> {
        self.settings.stage(stage).ok_or_else(|| {
            Error::config(format!(
                "`TIDEMILL_CONFIG` has no nodes for stage {stage} of the pipeline: run `tidemill deploy spin` again"
            ))
        })
    }

    fn delivery_context<'a>(&'a self, node: &'a NodeSettings) -> DeliveryContext<'a> {
        DeliveryContext {
            store: &self.store,
            ledger: &self.ledger,
            budget: &self.budget,
            node,
        }
    }
}

fn resolve(instance: &Instance, stage: u32, headers: Vec<(String, String)>, body: &[u8]) -> Result<Vec<runs::TriggerRef>> {
    let headers: HashMap<String, String> = headers.into_iter().collect();
    let events = parse_http(&|name| headers.get(name).cloned(), body)?;
    // There is no `tracing` subscriber here, and every stage receives the same events: the first stage logs them.
    for event in events.iter().filter(|_| stage == 0) {
        if let EventKind::Other(name) = &event.kind {
            eprintln!("skipped: {name} of `{}`", event.key);
        }
    }
    let mut triggers = Vec::new();
    for (n, node) in instance.nodes(stage)?.iter().enumerate() {
        for event in events.iter().filter(|event| !is_irrelevant(node, event)) {
            let found = ready(resolve_triggers(&instance.store, node, event))?;
            triggers.extend(found.into_iter().map(|TriggerRef { key, depth, .. }| runs::TriggerRef {
                node: u32::try_from(n).unwrap_or(u32::MAX),
                key,
                depth,
            }));
        }
    }
    Ok(triggers)
}

/// Whether the event does not concern the node. A key that a user names is meant for the nodes that wait for it; for the others it is not
/// an error.
fn is_irrelevant(node: &NodeSettings, event: &ObjectEvent) -> bool {
    event.bucket.is_empty() && event.kind == EventKind::Created && node.classify(&event.key) == KeyRole::Irrelevant
}

fn start_run(instance: &Instance, stage: u32, trigger: &runs::TriggerRef) -> Result<Started> {
    let settings = instance.nodes(stage)?.get(trigger.node as usize);
    let settings = settings.ok_or_else(|| Error::bug("a trigger names a node that its stage does not have"))?;
    let context = instance.delivery_context(settings);
    let trigger = TriggerRef::new(&trigger.key, trigger.depth);
    let delivery = match ready(Delivery::admit(context, &trigger, DeliveryCount::from_receive_count(1)))? {
        Admission::Gone | Admission::Changed(_) => return Ok(Started::Finished(json!({ "decision": "gone" }).to_string())),
        Admission::Settled(disposition) => return Ok(Started::Finished(disposition.to_json().to_string())),
        Admission::Waiting(wait) => return Err(Error::transient(wait.to_string())),
        Admission::Admitted(delivery) => *delivery,
    };
    let node = settings.to_node();
    let digest = match component(settings) {
        Ok(digest) => digest,
        Err(error) => return settle(context, delivery, Err(error)).map(Started::Finished),
    };
    let attempt = delivery.attempt(&node, digest);
    ready(attempt.persist_inputs(&instance.store, None))?;
    let job = Job {
        trigger: trigger_to_wit(attempt.trigger()),
        config: node.config.to_string(),
    };
    RUN.set(Some(CurrentRun {
        context: attempt.context().clone(),
        objects: ScopedObjects::new(instance.store.blocking(), attempt.grants(), attempt.trigger().clone()).with_memory(node.memory_bytes),
        settings: settings.clone(),
        delivery,
        started: Timestamp::now(),
        clock: Instant::now(),
        attempt,
    }));
    Ok(Started::Run(job))
}

/// The digest of the component that is plugged in for the stage.
fn component(settings: &NodeSettings) -> Result<Digest> {
    let name = settings.component.as_deref().unwrap_or_default();
    let digest = name.strip_prefix("components/").and_then(Digest::parse);
    digest.ok_or_else(|| {
        Error::config(format!(
            "stage `{}` has the component `{name}`, which is not `components/<digest>`",
            settings.stage
        ))
    })
}

fn finish_run(instance: &Instance, result: Result<Outcome>) -> Result<String> {
    let run = RUN.take().ok_or_else(|| Error::bug("a run was finished that was not started"))?;
    let report = RunReport {
        started: run.started,
        result,
        accesses: run.objects.finish(),
        duration_ms: run.clock.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        memory_bytes: 0,
        attempt: 1,
        environment: run_environment(),
    };
    let record = ready(run.attempt.commit(&instance.ledger, report));
    settle(instance.delivery_context(&run.settings), run.delivery, record)
}

fn settle(context: DeliveryContext<'_>, delivery: Delivery, record: Result<OutcomeRecord>) -> Result<String> {
    let disposition = ready(delivery.settle(context, record))?;
    Ok(disposition.to_json().to_string())
}

/// The environment that run records show.
fn run_environment() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("tidemill".into(), env!("CARGO_PKG_VERSION").into()),
        ("machine".into(), "wasm32-wasip2".into()),
        ("runtime".into(), "spin".into()),
    ])
}
