//! The state of a running flow, and its transitions. The queue, the watcher and the settling files know nothing of it.
//!
//! What is at rest is decided here alone. An event stays in the queue until what came of it is known here, and a dead letter stays known
//! until its event is back in the queue, so a reader that finds nothing to do missed nothing.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tidemill_core::{
    layout::Prefix,
    pipeline::{NodeSettings, Pipeline, StagePolicy},
};
use tidemill_run::DeadLetter;
use tidemill_store::{ChangeToken, Store};
use tidemill_worker::Coordinator;
use tokio::sync::Notify;

use crate::{
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

    /// Whether a file of the dataset is being written or validated.
    pub(crate) fn is_validating(&self, dataset: &str) -> bool {
        self.queue
            .any(|item| item.resource == dataset && StagePolicy::for_stage(&item.stage).advances_watermark)
            || self.settling.has_prefix(&Prefix::Raw.under(dataset))
    }
}
