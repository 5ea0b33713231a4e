//! From an object to the items that it causes, and what the whole flow shares.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use jiff::Timestamp;
use tidemill_core::{Decision, Digest, Result, pipeline::Pipeline, record::OutcomeRecord};
use tidemill_host::{DeadLetter, Ledger, SqlEngine, Store};

use crate::{
    budget::Budget,
    flow::FlowOptions,
    kill,
    queue::{Queue, QueueItem, Seen},
    runner::Runner,
    windows::WindowSource,
};

/// A file at its first look.
pub(crate) struct Look {
    pub(crate) size: u64,
    pub(crate) modified: i128,
    pub(crate) at: Instant,
}

pub(crate) struct Inner {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) store: Store,
    pub(crate) ledger: Ledger,
    pub(crate) sql: SqlEngine,
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) windows: Arc<dyn WindowSource>,
    pub(crate) options: FlowOptions,
    pub(crate) queue: Queue,
    /// Trigger ids that have an outcome or a dead letter.
    pub(crate) settled: Mutex<HashSet<String>>,
    pub(crate) dead: Mutex<BTreeMap<String, DeadLetter>>,
    pub(crate) looks: Mutex<BTreeMap<String, Look>>,
    pub(crate) budget: Budget,
    /// Something changed: the scheduler looks again.
    pub(crate) wake: tokio::sync::Notify,
    /// A part was validated since windows were last closed.
    pub(crate) dirty: AtomicBool,
    pub(crate) closing: AtomicBool,
    pub(crate) stopping: AtomicBool,
    pub(crate) running: AtomicUsize,
    pub(crate) scanning: tokio::sync::Mutex<()>,
    pub(crate) random: AtomicU64,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wall clock, Unix milliseconds.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A number that nothing hashed depends on.
pub(crate) fn chance() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Where the outcome of a trigger stands.
pub(crate) fn outcome_key(stage: &str, resource: &str, id: &str) -> String {
    format!("outcomes/{stage}/{resource}/{id}.json")
}

impl Inner {
    /// Queues whatever this object triggers and is neither settled nor queued.
    pub(crate) fn route_object(&self, key: &str, digest: &Digest, depth: u32, seen: Option<Seen>) {
        let mut items = Vec::new();
        for node in self.pipeline.triggered_nodes(key) {
            let item = QueueItem::new(&node.stage, &node.resource, key, digest, depth);
            if lock(&self.settled).contains(&item.trigger_id()) {
                continue;
            }
            for copy in 0..self.options.duplicate.max(1) {
                items.push(QueueItem {
                    copy,
                    due: self.shuffled(),
                    ..item.clone()
                });
            }
        }
        if !items.is_empty() || seen.is_some() {
            self.queue.put(items, seen.map(|seen| (key, seen)));
            self.wake.notify_one();
        }
    }

    /// Routes a committed outcome: its own key, and what the run wrote. `digest` is that of the record's bytes, where it is known.
    pub(crate) async fn route_outcome(&self, record: &OutcomeRecord, id: &str, digest: Option<Digest>) -> Result<()> {
        if record.decision == Decision::Done {
            let key = outcome_key(&record.stage, &record.resource, id);
            if self.pipeline.triggered_nodes(&key).next().is_some() {
                let digest = match digest {
                    Some(digest) => digest,
                    None => Digest::sha256(&self.store.get(&key).await?),
                };
                self.route_object(&key, &digest, record.depth, None);
            }
            for output in &record.outputs {
                self.route_object(&output.key, &output.digest, record.depth, None);
            }
        }
        kill::pass("after-route");
        Ok(())
    }

    /// Due at once; with the test hook, in an order that follows from its seed.
    fn shuffled(&self) -> i64 {
        if self.options.duplicate < 2 {
            return 0;
        }
        let next = |x: u64| x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let old = self.random.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |x| Some(next(x)));
        now() + (old.unwrap_or_default() >> 33) as i64 % 150
    }
}
