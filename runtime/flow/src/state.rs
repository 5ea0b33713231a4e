//! The state of a running flow, and its transitions. The queue, the watcher and the settling files know nothing of it.
//!
//! What is at rest is decided here alone. An event stays in the queue until what came of it is known here, and a dead letter stays known
//! until its event is back in the queue, so a reader that finds nothing to do missed nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use parking_lot::Mutex;
use tidemill_core::{
    Error,
    layout::Prefix,
    pipeline::{NodeSettings, Pipeline, StagePolicy},
    record::OutcomeRecord,
};
use tidemill_run::DeadLetter;
use tidemill_store::{ChangeToken, Store};
use tidemill_worker::Coordinator;
use tokio::sync::Notify;

use crate::{
    clock,
    options::FlowOptions,
    queue::{Queue, QueueItem},
    watch::SettlingFiles,
};

/// What all parts of a flow share.
pub(crate) struct FlowState {
    pub(crate) pipeline: Arc<Pipeline>,
    /// The nodes of the pipeline, as a worker sees them.
    pub(crate) nodes: Vec<NodeSettings>,
    pub(crate) store: Store,
    pub(crate) coordinator: Coordinator,
    pub(crate) options: FlowOptions,
    /// Outlives this flow if another one takes its place.
    pub(crate) queue: Arc<Queue>,
    pub(crate) settling: SettlingFiles,
    /// The dead letters as they were when they were read, by key.
    pub(crate) letter_tokens: Mutex<BTreeMap<String, ChangeToken>>,
    /// Folders that may not be watched yet, and when they were made.
    pub(crate) young_folders: Mutex<BTreeMap<String, Instant>>,
    /// One scan at a time.
    pub(crate) scanning: tokio::sync::Mutex<()>,
    /// The scheduler has something to do.
    pub(crate) changed: Notify,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By trigger id.
    dead: BTreeMap<String, DeadLetter>,
    windows: Windows,
    /// The end of the start, in Unix milliseconds.
    started: i64,
    /// Data files since the windows of their dataset were closed: by dataset and key, when the upload became known.
    validated: BTreeMap<String, BTreeMap<String, i64>>,
    /// Outcomes that could not be read at the start.
    unread: BTreeSet<String>,
    /// Prefixes whose objects were not all taken in at the start.
    unlisted: BTreeSet<String>,
    is_stopping: bool,
}

/// Whether windows can be closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Windows {
    /// All are.
    Closed,
    /// A data file was validated since.
    #[default]
    Due,
    /// They are being closed; `again` if a data file was validated meanwhile.
    Closing { again: bool },
}

impl FlowState {
    pub(crate) fn new(pipeline: Arc<Pipeline>, store: Store, coordinator: Coordinator, options: FlowOptions, queue: Arc<Queue>) -> Self {
        // The worker runs the components that the project names.
        let nodes = pipeline.nodes.iter().map(|node| NodeSettings {
            component: Some(node.component.clone()),
            ..NodeSettings::new(&pipeline, node)
        });
        Self {
            nodes: nodes.collect(),
            pipeline,
            store,
            coordinator,
            options,
            queue,
            settling: SettlingFiles::default(),
            letter_tokens: Mutex::default(),
            young_folders: Mutex::default(),
            scanning: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            inner: Mutex::default(),
        }
    }

    /// Wakes both loops.
    pub(crate) fn notify(&self) {
        self.queue.changed.notify_one();
        self.changed.notify_one();
    }

    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        self.inner.lock().dead.values().cloned().collect()
    }

    pub(crate) fn mark_dead(&self, letter: DeadLetter) {
        self.inner.lock().dead.insert(letter.id.clone(), letter);
    }

    /// Forgets a dead letter and puts its event back. At no moment it is in neither.
    pub(crate) fn revive(&self, letter: &DeadLetter) {
        let mut inner = self.inner.lock();
        self.queue.give_back(QueueItem::from_dead_letter(letter));
        inner.dead.remove(&letter.id);
    }

    /// Remembers an outcome that could not be read, if the error may pass.
    pub(crate) fn mark_unread(&self, key: &str, error: &Error) {
        if error.kind.is_retryable() {
            self.inner.lock().unread.insert(key.to_owned());
        }
    }

    pub(crate) fn mark_read(&self, key: &str) {
        self.inner.lock().unread.remove(key);
    }

    pub(crate) fn unread_outcomes(&self) -> BTreeSet<String> {
        self.inner.lock().unread.clone()
    }

    /// Remembers whether the objects under a prefix were taken in.
    pub(crate) fn mark_listed(&self, prefix: &str, is_complete: bool) {
        let mut inner = self.inner.lock();
        match is_complete {
            true => inner.unlisted.remove(prefix),
            false => inner.unlisted.insert(prefix.to_owned()),
        };
    }

    pub(crate) fn is_unlisted(&self, prefix: &str) -> bool {
        self.inner.lock().unlisted.contains(prefix)
    }

    /// Windows are to be closed again.
    pub(crate) fn mark_windows_due(&self) {
        let mut inner = self.inner.lock();
        inner.windows = match inner.windows {
            Windows::Closing { .. } => Windows::Closing { again: true },
            Windows::Closed | Windows::Due => Windows::Due,
        };
    }

    pub(crate) fn are_windows_due(&self) -> bool {
        self.inner.lock().windows == Windows::Due
    }

    pub(crate) fn begin_closing(&self) {
        self.inner.lock().windows = Windows::Closing { again: false };
    }

    /// Ends what [`begin_closing`](Self::begin_closing) began; `is_complete` if nothing is left to close.
    pub(crate) fn end_closing(&self, is_complete: bool) {
        let mut inner = self.inner.lock();
        let again = inner.windows == Windows::Closing { again: true };
        inner.windows = if is_complete && !again { Windows::Closed } else { Windows::Due };
    }

    pub(crate) fn stop(&self) {
        self.inner.lock().is_stopping = true;
        self.notify();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.inner.lock().is_stopping
    }

    /// Whether nothing runs, waits or is about to happen. Events that are held back by a daily budget do not count.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.inner.lock().windows == Windows::Closed && self.settling.is_empty() && !self.queue.any(|item| !item.held)
    }

    /// A data file was validated, from the upload that triggered the item.
    pub(crate) fn note_validated(&self, item: &QueueItem, record: &OutcomeRecord) {
        if let Some(data) = record.result["data"].as_str() {
            let mut inner = self.inner.lock();
            let arrived = inner.validated.entry(item.resource.clone()).or_default().entry(data.to_owned());
            let arrived = arrived.or_insert(item.arrived);
            *arrived = item.arrived.min(*arrived);
        }
    }

    /// What was queued so far was in the store before the start, in an order that is not known.
    pub(crate) fn note_started(&self) {
        self.inner.lock().started = clock::now();
    }

    /// A time before which no upload became known that is not settled; `None` if all that is new came later.
    pub(crate) fn settled_before(&self, dataset: &str) -> Option<i64> {
        // First the clock: what becomes known meanwhile is later.
        let now = clock::now();
        let is_of_dataset = |item: &QueueItem| item.resource == dataset && StagePolicy::for_stage(&item.stage).advances_watermark;
        let queued = self.queue.oldest_arrival(is_of_dataset);
        let settling = self.settling.oldest_arrival(&Prefix::Raw.under(dataset));
        let Some(oldest) = queued.into_iter().chain(settling).min() else {
            return Some(now.saturating_add(1));
        };
        let inner = self.inner.lock();
        let new = inner.validated.get(dataset)?;
        new.values().any(|arrived| *arrived < oldest).then_some(oldest)
    }

    /// Whether a data file's upload became known before this time. What was validated before the start counts from when all is settled that
    /// was queued at the start.
    pub(crate) fn may_close(&self, dataset: &str, key: &str, before: i64) -> bool {
        let inner = self.inner.lock();
        match inner.validated.get(dataset).and_then(|new| new.get(key)) {
            Some(arrived) => *arrived < before,
            None => inner.started < before,
        }
    }

    /// Notes that windows are closed by the files whose uploads became known before this time. Returns whether no others wait.
    pub(crate) fn note_closed(&self, dataset: &str, before: i64) -> bool {
        let mut inner = self.inner.lock();
        let is_start_settled = inner.started < before;
        let Some(new) = inner.validated.get_mut(dataset) else {
            return is_start_settled;
        };
        new.retain(|_, arrived| *arrived >= before);
        is_start_settled && new.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidemill_core::{Digest, pipeline::deployment::CoordinatorSettings, project::Project};
    use tidemill_run::NoPredictions;

    use super::*;

    fn state() -> FlowState {
        let project = Project::parse("[project]\nname = \"x\"\n", &|path| Err(Error::not_found(path.to_owned()))).unwrap();
        let (pipeline, store) = (Arc::new(project.pipeline), Store::memory());
        let settings = CoordinatorSettings::from_pipeline(&pipeline);
        let coordinator = Coordinator::new(settings, store.clone(), Arc::new(NoPredictions));
        let queue = Arc::new(Queue::open(None).unwrap());
        FlowState::new(pipeline, store, coordinator, FlowOptions::default(), queue)
    }

    fn upload(name: &str, arrived: i64) -> QueueItem {
        QueueItem {
            arrived,
            ..QueueItem::new("validate", "d", &format!("raw/d/{name}"), &Digest::sha256(name.as_bytes()), 0)
        }
    }

    fn settle(state: &FlowState, item: &QueueItem) {
        let digest = "0".repeat(64);
        let record: OutcomeRecord = serde_json::from_value(json!({
            "stage": "validate", "resource": "d", "trigger": { "key": item.key, "digest": item.digest }, "run-key": "r",
            "component": digest, "config": digest, "engines": "e", "as-of": "2013-01-01T00:00:00Z", "decision": "done", "reason": "",
            "findings": [], "result": { "data": item.key }, "outputs": [], "depth": 1,
        }))
        .unwrap();
        state.note_validated(item, &record);
        state.queue.acknowledge(item, true);
    }

    /// Whether the data file of an upload may close windows; `None` if none may.
    fn may_close(state: &FlowState, name: &str) -> Option<bool> {
        let before = state.settled_before("d")?;
        Some(state.may_close("d", &format!("raw/d/{name}"), before))
    }

    #[test]
    fn an_upload_holds_back_what_came_after_it_alone() {
        let state = state();
        let [a, b, c, d] = [("a", 10), ("b", 20), ("c", 30), ("d", 40)].map(|(name, arrived)| upload(name, arrived));
        assert_eq!(may_close(&state, "x"), Some(true), "nothing waits");
        state.queue.put(vec![a.clone(), b.clone(), c.clone()], None);
        settle(&state, &b);
        assert_eq!(may_close(&state, "b"), None, "`a` came before");
        settle(&state, &a);
        assert_eq!(state.settled_before("d"), Some(30), "`c` came after both");
        assert_eq!((may_close(&state, "a"), may_close(&state, "b")), (Some(true), Some(true)));
        // Validated while windows are being closed: it is looked at the next time.
        settle(&state, &c);
        assert!(!state.may_close("d", "raw/d/c", 30));
        assert!(!state.note_closed("d", 30));
        state.queue.put(vec![d.clone(), upload("e", 50)], None);
        settle(&state, &d);
        assert_eq!(
            state.settled_before("d"),
            Some(50),
            "`e` came after all of them, and more will come"
        );
        assert_eq!((may_close(&state, "c"), may_close(&state, "d")), (Some(true), Some(true)));
        state.queue.put(vec![upload("older", 35)], None);
        assert_eq!((may_close(&state, "c"), may_close(&state, "d")), (Some(true), Some(false)));
        assert!(!state.note_closed("d", 35));
        assert_eq!(may_close(&state, "d"), None);
        assert!(state.settled_before("other").is_some());
    }

    #[test]
    fn what_was_validated_before_the_start_waits_for_what_was_queued_then() {
        let state = state();
        let (first, second) = (upload("first", 10), upload("second", 15));
        state.queue.put(vec![first.clone(), second.clone()], None);
        state.note_started();
        settle(&state, &first);
        assert_eq!(state.settled_before("d"), Some(15));
        assert_eq!(
            (may_close(&state, "first"), may_close(&state, "earlier")),
            (Some(true), Some(false))
        );
        assert!(!state.note_closed("d", 15), "`earlier` has closed no window");
        settle(&state, &second);
        assert_eq!(
            (may_close(&state, "second"), may_close(&state, "earlier")),
            (Some(true), Some(true))
        );
        let before = state.settled_before("d").unwrap();
        assert!(state.note_closed("d", before));
    }
}
