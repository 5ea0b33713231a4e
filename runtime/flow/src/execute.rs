//! One delivery of one event: read, run, commit, route, acknowledge. Killed between any two of these, it is done again to the same effect.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tidemill_core::{
    Digest, Error, ErrorKind, Outcome, Result, RunContext, Trigger, digest_json,
    pipeline::Node,
    record::{OutcomeRecord, RunRecord},
    run_key,
};
use tidemill_host::{Commit, ENGINES, Grants, Recorded, RunHost, RunSetup};

use crate::{
    dead::{self, DeadLetter},
    kill,
    queue::Item,
    route::{Inner, chance, lock, now},
    runner::Usage,
    scan::circle,
};

/// Runs without progress after which a transient error counts as final.
const MOST_TRIES: u32 = 30;
/// How much longer than its timeout a run may take before the flow no longer waits for it.
const GRACE: Duration = Duration::from_secs(10);

enum Step {
    Finished,
    /// The trigger's content is not what was queued: the newer content was queued instead.
    Replaced,
    Held(Timestamp),
}

/// Delivers a taken item.
pub(crate) async fn execute(inner: &Inner, mut item: Item) {
    let result = deliver(inner, &mut item).await;
    match result {
        Ok(Step::Finished) => {
            lock(&inner.settled).insert(item.trigger_id());
            inner.queue.ack(&item);
        }
        Ok(Step::Replaced) => inner.queue.ack(&item),
        Ok(Step::Held(until)) => {
            (item.held, item.due) = (true, until.as_millisecond());
            item.waits_for = Some(format!("the daily budget of trainings is used up until {until}"));
            inner.queue.give_back(item);
        }
        Err(error) if error.kind.is_retried() && (item.tries < MOST_TRIES || is_away(inner, &item).await) => later(inner, item, &error),
        Err(error) => {
            if let Err(error) = bury(inner, &item, &error).await {
                tracing::error!("`{}` of `{}` for {}: {error}", item.stage, item.subject, item.key);
                item.due = now() + 1000;
                inner.queue.give_back(item);
            }
        }
    }
}

/// Whether the store does not answer: however long that lasts, it is no event's fault.
async fn is_away(inner: &Inner, item: &Item) -> bool {
    let asked = inner.ledger.find(&item.stage, &item.subject, &item.trigger_id()).await;
    asked.is_err_and(|error| error.kind.is_retried())
}

fn later(inner: &Inner, mut item: Item, error: &Error) {
    item.tries += 1;
    item.due = now() + backoff(item.tries, chance()).as_millis() as i64;
    item.waits_for = Some(error.message.clone());
    tracing::info!("{} {} waits (try {}): {error}", item.stage, item.subject, item.tries);
    inner.queue.give_back(item);
}

/// 100 ms, doubled each time, at most a minute; less up to a half, by chance, so that not all come back at once.
fn backoff(tries: u32, chance: u64) -> Duration {
    let whole = 100u64.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(60_000);
    Duration::from_millis(whole - chance % (whole / 2))
}

async fn bury(inner: &Inner, item: &Item, error: &Error) -> Result<()> {
    tracing::error!("{} {} failed for {}: {error}", item.stage, item.subject, item.key);
    let letter = DeadLetter::of(item, error);
    dead::write(&inner.store, &letter).await?;
    lock(&inner.settled).insert(letter.id.clone());
    lock(&inner.dead).insert(letter.id.clone(), letter);
    inner.queue.ack(item);
    inner.queue.wake(&item.subject);
    Ok(())
}

async fn deliver(inner: &Inner, item: &mut Item) -> Result<Step> {
    let id = item.trigger_id();
    let Some(node) = inner.pipeline.node(&item.stage, &item.subject).cloned() else {
        return Ok(Step::Replaced);
    };
    if let Some(record) = inner.ledger.find(&item.stage, &item.subject, &id).await? {
        inner.route_outcome(&record, &id, None).await?;
        return Ok(Step::Finished);
    }
    if lock(&inner.dead).contains_key(&id) {
        return Ok(Step::Finished);
    }
    if item.hops >= inner.pipeline.hop_limit {
        let circle = circle(&inner.pipeline, &node.id()).unwrap_or_else(|| format!("a circle through {}", node.id()));
        return Err(Error::limit(format!(
            "after {} steps this chain of events is taken for a loop: {circle}; break it, or raise `hop-limit` in [project]",
            item.hops
        )));
    }
    let bytes = inner.store.get(&item.key).await?;
    let digest = Digest::of(&bytes);
    if digest != item.digest {
        inner.route_object(&item.key, &digest, item.hops, None);
        return Ok(Step::Replaced);
    }
    if let Some(until) = over_budget(inner, &node, &id).await? {
        return Ok(Step::Held(until));
    }
    (item.held, item.waits_for) = (false, None);
    item.attempt += 1;
    let context_time = as_of(&item.key, &bytes);
    drop(bytes);
    let record = run(inner, &node, item, &id, context_time).await?;
    inner.route_outcome(&record, &id, None).await?;
    if node.stage == "validate" {
        inner.dirty.store(true, std::sync::atomic::Ordering::SeqCst);
    }
    inner.queue.wake(&item.subject);
    Ok(Step::Finished)
}

async fn over_budget(inner: &Inner, node: &Node, id: &str) -> Result<Option<Timestamp>> {
    match inner.pipeline.models.get(&node.subject).filter(|_| node.stage == "featurize") {
        Some(model) => {
            let limit = model.retrain.daily_budget;
            inner.budget.hold(&inner.store, &model.name, id, limit, Timestamp::now()).await
        }
        None => Ok(None),
    }
}

/// The clock of a run: its trigger's `as-of`, or 1970 where it has none.
pub fn as_of(key: &str, bytes: &[u8]) -> Timestamp {
    #[derive(serde::Deserialize)]
    struct Clock {
        #[serde(rename = "as-of")]
        as_of: Timestamp,
    }
    let clock = key
        .ends_with(".json")
        .then(|| serde_json::from_slice::<Clock>(bytes).ok())
        .flatten();
    clock.map_or(Timestamp::UNIX_EPOCH, |clock| clock.as_of)
}

async fn run(inner: &Inner, node: &Node, item: &Item, id: &str, as_of: Timestamp) -> Result<OutcomeRecord> {
    let (component, config) = keep(inner, node).await?;
    let context = RunContext {
        as_of,
        seed: node.seed,
        run_key: run_key(&node.stage, &node.subject, &component, &config, ENGINES, &item.digest),
        subject: node.subject.clone(),
    };
    let trigger = Trigger {
        key: item.key.clone(),
        digest: item.digest.clone(),
    };
    let started = Timestamp::now();
    kill::pass("before-run");
    let (result, recorded, usage) = call(inner, node, &trigger, context.clone()).await?;
    kill::pass("after-run");
    let run = RunRecord {
        run_key: context.run_key.clone(),
        stage: node.stage.clone(),
        subject: node.subject.clone(),
        started,
        duration_ms: usage.duration.as_millis() as u64,
        memory_bytes: usage.memory_bytes,
        attempt: item.attempt,
        reads: recorded.reads,
        environment: inner.options.environment.clone(),
    };
    inner.ledger.record_run(&run, id).await?;
    let outcome = result?;
    let record = OutcomeRecord {
        stage: node.stage.clone(),
        subject: node.subject.clone(),
        trigger,
        run_key: context.run_key,
        component,
        config,
        engines: ENGINES.to_string(),
        as_of: outcome.as_of.unwrap_or(as_of),
        decision: outcome.decision,
        reason: outcome.reason,
        findings: outcome.findings,
        error: None,
        facts: outcome.facts,
        outputs: recorded.outputs,
        hops: item.hops + 1,
    };
    kill::pass("before-commit");
    let record = match inner.ledger.commit(&record).await? {
        Commit::New => record,
        Commit::Already(earlier) => *earlier,
    };
    kill::pass("after-commit");
    tracing::info!("{} {}: {:?}, {}", record.stage, record.subject, record.decision, record.reason);
    Ok(record)
}

/// Keeps the component and the configuration, so that the run can be replayed. Returns their digests.
async fn keep(inner: &Inner, node: &Node) -> Result<(Digest, Digest)> {
    let (runner, of) = (inner.runner.clone(), node.clone());
    let found = tokio::task::spawn_blocking(move || Ok((runner.component_digest(&of)?, runner.component_bytes(&of)?)));
    let (component, bytes) = found.await.map_err(ended)??;
    if let Some(bytes) = bytes {
        let key = format!("components/{component}");
        if inner.store.head(&key).await?.is_none() {
            inner.store.create(&key, bytes.into()).await?;
        }
    }
    let config = digest_json(&node.config);
    let text = node.config.to_string();
    inner.store.create(&format!("configs/{config}"), text.into_bytes().into()).await?;
    Ok((component, config))
}

type Ran = (Result<Outcome>, Recorded, Usage);

async fn call(inner: &Inner, node: &Node, trigger: &Trigger, context: RunContext) -> Result<Ran> {
    let host = RunHost::new(RunSetup {
        store: inner.store.clone(),
        sql: inner.sql.clone(),
        context,
        trigger: trigger.clone(),
        grants: Grants {
            reads: node.reads.clone(),
            writes: node.writes.clone(),
            fetch: node.fetch.clone(),
        },
        progress: inner.options.progress.clone().map(|tell| {
            let id = node.id();
            Arc::new(move |fraction: f64, message: &str| tell(&id, fraction, message)) as Arc<dyn Fn(f64, &str) + Send + Sync>
        }),
        handle: tokio::runtime::Handle::current(),
    });
    let (runner, of, trigger) = (inner.runner.clone(), node.clone(), trigger.clone());
    let ran = tokio::task::spawn_blocking(move || runner.run(&of, &trigger, host));
    match tokio::time::timeout(node.timeout + GRACE, ran).await {
        Ok(ran) => ran.map_err(ended),
        Err(_) => Err(Error::new(
            ErrorKind::Limit,
            format!(
                "stage `{}` took longer than its {} s; raise `timeout-seconds`",
                node.stage,
                node.timeout.as_secs()
            ),
        )),
    }
}

fn ended(error: tokio::task::JoinError) -> Error {
    Error::bug(format!("the thread of a stage ended: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backs_off_to_a_minute() {
        assert_eq!(backoff(1, 0), Duration::from_millis(100));
        assert_eq!(backoff(3, 0), Duration::from_millis(400));
        assert_eq!(backoff(30, 0), Duration::from_secs(60));
        assert!(backoff(30, u64::MAX) >= Duration::from_secs(30));
    }

    #[test]
    fn the_clock_is_the_triggers() {
        let time: Timestamp = "2013-02-01T00:00:00Z".parse().unwrap();
        assert_eq!(as_of("windows/m/x.json", br#"{"as-of":"2013-02-01T00:00:00Z","x":1}"#), time);
        assert_eq!(as_of("raw/d/x.csv", br#"{"as-of":"2013-02-01T00:00:00Z"}"#), Timestamp::UNIX_EPOCH);
        assert_eq!(as_of("raw/d/x.json", b"not json"), Timestamp::UNIX_EPOCH);
    }
}
