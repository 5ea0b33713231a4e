//! One delivery of one event: read, run, commit, route, acknowledge. Killed between any two of these, it is done again to the same effect.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tidemill_core::{Digest, Error, Outcome, Result, Trigger, pipeline::Node, record::OutcomeRecord};
use tidemill_host::{AccessLog, Attempt, ProgressFn, RunHost, RunReport, identify_object, write_dead_letter};

use crate::{
    dead_letters, kill,
    queue::QueueItem,
    runner::Usage,
    scan::circle,
    state::{Inner, chance, lock, now},
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
pub(crate) async fn execute(inner: &Inner, mut item: QueueItem) {
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
        Err(error) if error.kind.is_retryable() && (item.retries < MOST_TRIES || is_away(inner, &item).await) => later(inner, item, &error),
        Err(error) => {
            if let Err(error) = bury(inner, &item, &error).await {
                tracing::error!("`{}` of `{}` for {}: {error}", item.stage, item.resource, item.key);
                item.due = now() + 1000;
                inner.queue.give_back(item);
            }
        }
    }
}

/// Whether the store does not answer: however long that lasts, it is no event's fault.
async fn is_away(inner: &Inner, item: &QueueItem) -> bool {
    let asked = inner.ledger.find(&item.stage, &item.resource, &item.trigger_id()).await;
    asked.is_err_and(|error| error.kind.is_retryable())
}

fn later(inner: &Inner, mut item: QueueItem, error: &Error) {
    item.retries += 1;
    item.due = now() + backoff(item.retries, chance()).as_millis() as i64;
    item.waits_for = Some(error.message.clone());
    tracing::info!("{} {} waits (try {}): {error}", item.stage, item.resource, item.retries);
    inner.queue.give_back(item);
}

/// 100 ms, doubled each time, at most a minute; less up to a half, by chance, so that not all come back at once.
fn backoff(tries: u32, chance: u64) -> Duration {
    let whole = 100u64.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(60_000);
    Duration::from_millis(whole - chance % (whole / 2))
}

async fn bury(inner: &Inner, item: &QueueItem, error: &Error) -> Result<()> {
    tracing::error!("{} {} failed for {}: {error}", item.stage, item.resource, item.key);
    let letter = dead_letters::letter(item, error);
    write_dead_letter(&inner.store, &letter).await?;
    lock(&inner.settled).insert(letter.id.clone());
    lock(&inner.dead).insert(letter.id.clone(), letter);
    inner.queue.ack(item);
    inner.queue.wake(&item.resource);
    Ok(())
}

async fn deliver(inner: &Inner, item: &mut QueueItem) -> Result<Step> {
    let id = item.trigger_id();
    let Some(node) = inner.pipeline.node(&item.stage, &item.resource).cloned() else {
        return Ok(Step::Replaced);
    };
    if let Some(record) = inner.ledger.find(&item.stage, &item.resource, &id).await? {
        inner.route_outcome(&record, &id, None).await?;
        return Ok(Step::Finished);
    }
    if lock(&inner.dead).contains_key(&id) {
        return Ok(Step::Finished);
    }
    if item.depth >= inner.pipeline.max_depth {
        let circle = circle(&inner.pipeline, &node.id()).unwrap_or_else(|| format!("a circle through {}", node.id()));
        return Err(Error::limit(format!(
            "after {} steps this chain of events is taken for a loop: {circle}; break it, or raise `max-depth` in [project]",
            item.depth
        )));
    }
    let (digest, context_time) = identify_object(&inner.store, &item.key).await?;
    if digest != item.digest {
        inner.route_object(&item.key, &digest, item.depth, None);
        return Ok(Step::Replaced);
    }
    if let Some(until) = over_budget(inner, &node, &id).await? {
        return Ok(Step::Held(until));
    }
    (item.held, item.waits_for) = (false, None);
    item.attempt += 1;
    let record = run(inner, &node, item, context_time).await?;
    inner.route_outcome(&record, &id, None).await?;
    if node.stage == "validate" {
        inner.dirty.store(true, std::sync::atomic::Ordering::SeqCst);
    }
    inner.queue.wake(&item.resource);
    Ok(Step::Finished)
}

async fn over_budget(inner: &Inner, node: &Node, id: &str) -> Result<Option<Timestamp>> {
    match inner.pipeline.models.get(&node.resource).filter(|_| node.stage == "featurize") {
        Some(model) => {
            let limit = model.retrain.daily_budget;
            inner.budget.reserve(&inner.store, &model.name, id, limit, Timestamp::now()).await
        }
        None => Ok(None),
    }
}

async fn run(inner: &Inner, node: &Node, item: &QueueItem, as_of: Timestamp) -> Result<OutcomeRecord> {
    let (component, bytes) = component(inner, node).await?;
    let trigger = Trigger {
        key: item.key.clone(),
        digest: item.digest.clone(),
    };
    let attempt = Attempt::new(node, component, trigger, as_of, item.depth);
    attempt.persist_inputs(&inner.store, bytes).await?;
    let started = Timestamp::now();
    kill::pass("before-run");
    let (result, recorded, usage) = call(inner, node, &attempt).await?;
    kill::pass("after-run");
    let ran = RunReport {
        started,
        result,
        accesses: recorded,
        duration_ms: usage.duration.as_millis() as u64,
        memory_bytes: usage.memory_bytes,
        attempt: item.attempt,
        environment: inner.options.environment.clone(),
    };
    let record = attempt.finish(&inner.ledger, ran).await?;
    kill::pass("before-commit");
    let record = inner.ledger.settle(record).await?;
    kill::pass("after-commit");
    tracing::info!("{} {}: {:?}, {}", record.stage, record.resource, record.decision, record.reason);
    Ok(record)
}

/// The digest of the node's component, and its bytes where it has some.
async fn component(inner: &Inner, node: &Node) -> Result<(Digest, Option<Vec<u8>>)> {
    let (runner, of) = (inner.runner.clone(), node.clone());
    let found = tokio::task::spawn_blocking(move || Ok((runner.component_digest(&of)?, runner.component_bytes(&of)?)));
    found.await.map_err(ended)?
}

async fn call(inner: &Inner, node: &Node, attempt: &Attempt) -> Result<(Result<Outcome>, AccessLog, Usage)> {
    let progress = inner.options.progress.clone().map(|tell| {
        let id = node.id();
        Arc::new(move |fraction: f64, message: &str| tell(&id, fraction, message)) as ProgressFn
    });
    let host = RunHost::for_attempt(attempt, inner.store.clone(), inner.sql.clone(), progress);
    let (runner, of, trigger) = (inner.runner.clone(), node.clone(), attempt.trigger().clone());
    let ran = tokio::task::spawn_blocking(move || runner.run(&of, &trigger, host));
    match tokio::time::timeout(node.timeout + GRACE, ran).await {
        Ok(ran) => ran.map_err(ended),
        Err(_) => Err(node.timeout_error()),
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
}
