//! The runs of the chain's stages: what causes them, and the outcome that is committed. One is under way at a time.

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use jiff::Timestamp;
use serde_json::json;
use tidemill_core::{
    Decision, Digest, Error, ErrorKind, Finding, Outcome, Put, Result, RunContext, Severity,
    notification::{self, Kind, ObjectEvent},
    pipeline::NodeSettings,
    time::parse_time,
};
use tidemill_run::{Admission, Attempt, Delivery, Disposition, Ledger, RunReport, ScopedObjects, TriggerRef, resolve_triggers};
use tidemill_store::{BlockingStore, Store, ready};

use crate::{
    Behind,
    bindings::exports::tidemill::{
        runs::{
            chain, inbox,
            runs::{Begun, Cause, Guest, Job},
        },
        stage::types,
    },
    settings::{self, Told},
};

/// The store and the nodes of this instance.
pub(crate) struct Opened {
    store: Store,
    ledger: Ledger,
    told: Told,
}

/// The run that a stage's imports are about.
pub(crate) struct UnderWay {
    pub(crate) context: RunContext,
    pub(crate) objects: ScopedObjects<BlockingStore>,
    settings: NodeSettings,
    pending: Delivery,
    attempt: Attempt,
    started: Timestamp,
    clock: Instant,
}

thread_local! {
    /// One thread, and it lives as long as the instance.
    static OPENED: OnceCell<Opened> = const { OnceCell::new() };
    static RUN: RefCell<Option<UnderWay>> = const { RefCell::new(None) };
}

fn with_opened<T>(work: impl FnOnce(&Opened) -> Result<T>) -> Result<T> {
    OPENED.with(|cell| {
        if cell.get().is_none() {
            let store = Store::open_variables(settings::variable)?;
            let opened = Opened {
                ledger: Ledger::new(store.clone()),
                told: settings::told()?,
                store,
            };
            let _just_now = cell.set(opened);
        }
        cell.get().map_or_else(|| Err(Error::bug("the store was not kept")), work)
    })
}

/// Measurement a stage's imports do, on its run.
pub(crate) fn with_run<T>(work: impl FnOnce(&UnderWay) -> Result<T>) -> Result<T> {
    RUN.with_borrow(|run| match run {
        Some(run) => work(run),
        None => Err(Error::bug("no run is under way")),
    })
}

pub(crate) fn outside(error: Error) -> types::Error {
    let kind = match error.kind {
        ErrorKind::Config => types::ErrorKind::Config,
        ErrorKind::Input => types::ErrorKind::Input,
        ErrorKind::NotFound => types::ErrorKind::NotFound,
        ErrorKind::Transient => types::ErrorKind::Transient,
        ErrorKind::Limit => types::ErrorKind::Limit,
        ErrorKind::Bug => types::ErrorKind::Bug,
    };
    types::Error {
        kind,
        message: error.message,
    }
}

fn inside(error: types::Error) -> Error {
    let kind = match error.kind {
        types::ErrorKind::Config => ErrorKind::Config,
        types::ErrorKind::Input => ErrorKind::Input,
        types::ErrorKind::NotFound => ErrorKind::NotFound,
        types::ErrorKind::Transient => ErrorKind::Transient,
        types::ErrorKind::Limit => ErrorKind::Limit,
        types::ErrorKind::Bug => ErrorKind::Bug,
    };
    Error::new(kind, error.message)
}

impl inbox::Guest for Behind {
    fn put(key: String, bytes: Vec<u8>) -> Result<bool, types::Error> {
        let put = with_opened(|opened| match ready(opened.store.create(&key, bytes.into()))? {
            Put::Written => Ok(true),
            Put::Unchanged => Ok(false),
            Put::Conflict => Err(Error::input(format!("`{key}` exists with other content"))),
        });
        put.map_err(outside)
    }
}

/// The chain ends here.
impl chain::Guest for Behind {
    fn handle(_: u32, _: Vec<(String, String)>, _: Vec<u8>) -> Vec<chain::Disposition> {
        Vec::new()
    }
}

impl Guest for Behind {
    fn heard(stage: u32, headers: Vec<(String, String)>, body: Vec<u8>) -> Result<Vec<Cause>, types::Error> {
        with_opened(|opened| heard(opened, stage, headers, &body)).map_err(outside)
    }

    fn begin(stage: u32, cause: Cause) -> Result<Begun, types::Error> {
        with_opened(|opened| begin(opened, stage, &cause)).map_err(outside)
    }

    fn end(outcome: Result<types::Outcome, types::Error>) -> Result<String, types::Error> {
        with_opened(|opened| end(opened, outcome.map_err(inside).and_then(decided))).map_err(outside)
    }
}

fn nodes(opened: &Opened, stage: u32) -> Result<&[NodeSettings]> {
    opened.told.stage(stage).ok_or_else(|| {
        Error::config(format!(
            "the chain has a link {stage}, of which `TIDEMILL_CONFIG` says nothing: write the application again"
        ))
    })
}

fn heard(opened: &Opened, stage: u32, headers: Vec<(String, String)>, body: &[u8]) -> Result<Vec<Cause>> {
    let headers: HashMap<String, String> = headers.into_iter().collect();
    let notices = notification::http(&|name| headers.get(name).cloned(), body)?;
    // Nothing listens to `tracing` here, and each link of the chain hears the same: the first one says it.
    for notice in notices.iter().filter(|_| stage == 0) {
        if let Kind::Other(what) = &notice.kind {
            eprintln!("passed over: {what} of `{}`", notice.key);
        }
    }
    let mut causes = Vec::new();
    for (n, node) in nodes(opened, stage)?.iter().enumerate() {
        for notice in notices.iter().filter(|notice| !is_idle(node, notice)) {
            let found = ready(resolve_triggers(&opened.store, node, notice))?;
            causes.extend(found.into_iter().map(|TriggerRef { key, depth }| Cause {
                node: u32::try_from(n).unwrap_or(u32::MAX),
                key,
                depth,
            }));
        }
    }
    Ok(causes)
}

/// A key that a person names is for the nodes that wait for it, and for the others nothing to complain about.
fn is_idle(node: &NodeSettings, notice: &ObjectEvent) -> bool {
    notice.bucket.is_empty() && notice.kind == Kind::Created && node.hears(&notice.key) == tidemill_core::pipeline::KeyRole::Nothing
}

fn begin(opened: &Opened, stage: u32, cause: &Cause) -> Result<Begun> {
    let settings = nodes(opened, stage)?.get(cause.node as usize);
    let settings = settings.ok_or_else(|| Error::bug("a cause names a node that its stage does not have"))?;
    let trigger = TriggerRef {
        key: cause.key.clone(),
        depth: cause.depth,
    };
    let pending = match ready(Delivery::admit(&opened.store, &opened.ledger, settings, &trigger, 1))? {
        Admission::Gone => return Ok(Begun::Over(json!({ "decision": "gone" }).to_string())),
        Admission::Before(came) => return Ok(Begun::Over(came.json().to_string())),
        Admission::New(pending) => *pending,
    };
    let node = settings.node();
    let attempt = match pending.attempt(settings, &node, component(settings)?) {
        Ok(attempt) => attempt,
        Err(error) => return settled(opened, settings, pending, Err(error)).map(Begun::Over),
    };
    ready(attempt.keep(&opened.store, None))?;
    let run = UnderWay {
        context: attempt.context().clone(),
        objects: ScopedObjects::new(opened.store.blocking(), attempt.grants(), attempt.trigger().clone()),
        settings: settings.clone(),
        pending,
        started: Timestamp::now(),
        clock: Instant::now(),
        attempt,
    };
    let job = Job {
        trigger: types::Trigger {
            key: run.attempt.trigger().key.clone(),
            digest: run.attempt.trigger().digest.to_string(),
        },
        config: node.config.to_string(),
    };
    RUN.set(Some(run));
    Ok(Begun::Run(job))
}

/// The digest of the stage's component, as it was plugged in.
fn component(settings: &NodeSettings) -> Result<Digest> {
    let name = settings.component.as_deref().unwrap_or_default();
    let digest = name.strip_prefix("components/").and_then(Digest::parse);
    digest.ok_or_else(|| {
        Error::config(format!(
            "stage `{}` has the component `{name}`, which is no `components/<digest>`",
            settings.stage
        ))
    })
}

fn end(opened: &Opened, result: Result<Outcome>) -> Result<String> {
    let run = RUN.take().ok_or_else(|| Error::bug("a run ended that was not begun"))?;
    let ran = RunReport {
        started: run.started,
        result,
        recorded: run.objects.finish(),
        duration_ms: run.clock.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        memory_bytes: 0,
        attempt: 1,
        environment: environment(),
    };
    let record = ready(run.attempt.commit(&opened.ledger, ran));
    settled(opened, &run.settings, run.pending, record)
}

fn settled(
    opened: &Opened,
    settings: &NodeSettings,
    pending: Delivery,
    record: Result<tidemill_core::record::OutcomeRecord>,
) -> Result<String> {
    let came: Disposition = ready(pending.settle(&opened.store, settings, record))?;
    Ok(came.json().to_string())
}

fn decided(outcome: types::Outcome) -> Result<Outcome> {
    let wrong = |e: &dyn std::fmt::Display| Error::bug(format!("the stage's outcome cannot be read: {e}"));
    Ok(Outcome {
        decision: match outcome.decision {
            types::Decision::Done => Decision::Done,
            types::Decision::Rejected => Decision::Rejected,
            types::Decision::Skipped => Decision::Skipped,
        },
        reason: outcome.reason,
        findings: outcome.findings.into_iter().map(found).collect(),
        facts: serde_json::from_str(&outcome.facts).map_err(|e| wrong(&e))?,
        as_of: outcome.as_of.as_deref().map(parse_time).transpose()?,
    })
}

fn found(finding: types::Finding) -> Finding {
    Finding {
        check: finding.check,
        resource: finding.resource,
        severity: match finding.severity {
            types::Severity::Warning => Severity::Warning,
            types::Severity::Error => Severity::Error,
        },
        message: finding.message,
        count: finding.count,
    }
}

/// Goes into run records, for people.
fn environment() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("tidemill".into(), env!("CARGO_PKG_VERSION").into()),
        ("machine".into(), "wasm32-wasip2".into()),
        ("runtime".into(), "spin".into()),
    ])
}
