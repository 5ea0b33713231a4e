//! The scheduler of a flow: it looks for new objects, closes windows, writes scheduled events, and queues what all of these trigger.
//!
//! What is to do follows from the store alone: external objects that match a trigger, and committed outcomes with what they wrote. An
//! object that a stage may write counts only through an outcome that names it: half a run triggers nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use tidemill_core::{
    Digest, Error, ErrorKind, ObjectMeta, Result,
    layout::{self, Key, Prefix, is_ignored, literal_folder, may_overlap},
    pipeline::{KeyRole, NodeSettings, StageKind},
    record::OutcomeRecord,
};
use tidemill_run::{DeadLetter, failpoint, find_dead_letter, list_dead_letters, note_unjudged_window, outcome_objects, warn_passed_over};
use tidemill_store::{ChangeToken, ListedObject};
use tokio::sync::mpsc;

use crate::{
    queue::{QueueItem, SeenObject},
    state::FlowState,
    watch::{FileEvent, STABILITY_INTERVAL},
};

/// Concurrent reads at the start: a store may be far away.
const READ_CONCURRENCY: usize = 16;
/// How long a folder is listed after it was made.
const FOLDER_AGE: Duration = Duration::from_secs(1);
/// Between two checks of the schedules, and after windows could not be closed.
const SCHEDULE_INTERVAL: Duration = Duration::from_secs(1);

/// The scheduler's loop, until the flow stops.
pub(crate) async fn schedule(
    flow: Arc<FlowState>,
    mut file_events: mpsc::UnboundedReceiver<FileEvent>,
    watcher: Option<notify::RecommendedWatcher>,
) {
    let mut next_scan = Instant::now() + flow.options.poll_interval;
    let mut next_schedule = Instant::now();
    let mut next_close = Instant::now();
    while !flow.is_stopping() {
        let at = Instant::now();
        if at >= next_schedule {
            log_error(flow.write_schedules().await);
            next_schedule = at + SCHEDULE_INTERVAL;
        }
        if at >= next_scan {
            log_error(flow.scan(false).await);
            next_scan = Instant::now() + flow.options.poll_interval;
        }
        log_error(flow.list_young_folders().await);
        if !flow.settling.is_empty() {
            log_error(flow.recheck_settling().await);
        }
        if flow.are_windows_due() && at >= next_close {
            let closed = flow.close_windows().await;
            if closed.is_err() {
                next_close = Instant::now() + SCHEDULE_INTERVAL;
            }
            log_error(closed);
        }
        let mut wait = next_scan.min(next_schedule).saturating_duration_since(Instant::now());
        if !flow.settling.is_empty() || !flow.young_folders.lock().is_empty() {
            wait = wait.min(STABILITY_INTERVAL);
        }
        if flow.are_windows_due() {
            wait = wait.min(next_close.saturating_duration_since(Instant::now()).max(STABILITY_INTERVAL));
        }
        tokio::select! {
            () = flow.changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
            Some(event) = file_events.recv(), if watcher.is_some() => log_error(flow.handle_file_event(event).await),
        }
    }
}

fn log_error(result: Result<()>) {
    if let Err(error) = result {
        tracing::error!("{error}");
    }
}

impl FlowState {
    /// The start: everything that is in the store and not settled is queued, whatever the queue's file knew.
    pub(crate) async fn rebuild(&self) -> Result<()> {
        let outcomes = self.store.list(&Prefix::Outcomes.root(), None, usize::MAX).await?;
        self.queue
            .mark_settled(outcomes.iter().filter_map(|meta| outcome_id(&meta.key)).map(str::to_owned));
        for letter in list_dead_letters(&self.store).await? {
            // The process may have ended before the note; and there was a time without notes.
            if let Err(error) = note_unjudged_window(&self.store, &letter).await {
                warn_passed_over(&letter.key(), &error);
            }
            self.queue.mark_settled([letter.id.clone()]);
            self.mark_dead(letter);
        }
        let outcomes = self.outcomes_with_triggers(outcomes);
        let reads = outcomes
            .iter()
            .map(|meta| async move { (meta, self.store.get_record(&meta.key).await) });
        let mut read = stream::iter(reads).buffered(READ_CONCURRENCY);
        while let Some((meta, bytes)) = read.next().await {
            let routed = match bytes {
                Ok(bytes) => self.route_stored_outcome(&meta.key, &bytes).await,
                Err(error) => Err(error),
            };
            if let Err(error) = routed {
                warn_passed_over(&meta.key, &error);
                self.mark_unread(&meta.key, &error);
            }
        }
        if let Err(error) = self.scan(true).await {
            tracing::warn!("not everything could be listed; it is listed again: {error}");
        }
        self.note_started();
        self.mark_windows_due();
        Ok(())
    }

    /// The outcomes that may trigger a node, themselves or through what their stage may write. The others need not be read: a start does not
    /// read what became of each file of a dataset.
    fn outcomes_with_triggers(&self, mut outcomes: Vec<ObjectMeta>) -> Vec<ObjectMeta> {
        let mut writers: BTreeMap<(String, String), bool> = BTreeMap::new();
        outcomes.retain(|meta| {
            let Some(Key::Outcome { stage, resource, .. }) = Key::parse(&meta.key) else {
                return false;
            };
            let writer = writers.entry((stage.to_owned(), resource.to_owned()));
            *writer.or_insert_with(|| self.may_write_triggers(stage, resource))
                || self.nodes.iter().any(|node| node.is_triggered_by(&meta.key))
        });
        outcomes
    }

    /// Whether what the stage writes may trigger a node. What a stage that the project adds, or does not have any more, may have written is
    /// not known.
    fn may_write_triggers(&self, stage: &str, resource: &str) -> bool {
        let node = self
            .pipeline
            .node(stage, resource)
            .filter(|_| StageKind::from_name(stage).is_some());
        let triggers = || self.nodes.iter().flat_map(|node| &node.on);
        node.is_none_or(|node| node.writes.iter().any(|writes| triggers().any(|on| may_overlap(on, writes))))
    }

    async fn route_stored_outcome(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let Some(id) = outcome_id(key) else { return Ok(()) };
        let record: OutcomeRecord =
            serde_json::from_slice(bytes).map_err(|e| Error::input(format!("`{key}` is not an outcome record: {e}")))?;
        self.route_outcome(&record, id, Some(Digest::sha256(bytes))).await
    }

    /// Reads the outcomes that could not be read at the start: what they trigger may wait for them.
    async fn reread_outcomes(&self) {
        for key in self.unread_outcomes() {
            let read = async { self.route_stored_outcome(&key, &self.store.get_record(&key).await?).await };
            match read.await {
                Err(error) if error.kind.is_retryable() => {}
                _ => self.mark_read(&key),
            }
        }
    }

    /// Lists all external objects. `first`: also routes those that were taken in before. What cannot be listed or read hides nothing else;
    /// the error is the first of those that may pass.
    pub(crate) async fn scan(&self, first: bool) -> Result<()> {
        let _one_at_a_time = self.scanning.lock().await;
        self.reread_outcomes().await;
        let mut result = Ok(());
        for prefix in external_prefixes(&self.nodes) {
            let first = first || self.is_unlisted(&prefix);
            let listed = self.scan_prefix(&prefix, first).await;
            self.mark_listed(&prefix, listed.is_ok() || !first);
            result = result.and(listed);
        }
        if !self.settling.is_empty() {
            self.changed.notify_one();
        }
        result.and(self.revive_deleted_letters().await)
    }

    async fn scan_prefix(&self, prefix: &str, first: bool) -> Result<()> {
        let mut result = Ok(());
        for found in self.store.list_with_tokens(prefix).await? {
            if !self.is_external(&found.meta.key) {
                continue;
            }
            match self.inspect(&found, false, first).await {
                Err(error) if !error.kind.is_retryable() => warn_passed_over(&found.meta.key, &error),
                inspected => result = result.and(inspected),
            }
        }
        result
    }

    /// Queues the events of dead letters that were deleted. Those that were dropped no longer count.
    async fn revive_dead_letters(&self) -> Result<()> {
        // A concurrent scan waits: it would see neither the letter nor what is queued for it.
        let _one_at_a_time = self.scanning.lock().await;
        self.revive_deleted_letters().await
    }

    /// Looks once more at the files that may still grow.
    async fn recheck_settling(&self) -> Result<()> {
        for key in self.settling.keys() {
            self.inspect_key(&key, false).await?;
        }
        Ok(())
    }

    /// Looks at one key; `is_complete`: its writer closed the file.
    async fn inspect_key(&self, key: &str, is_complete: bool) -> Result<()> {
        if !self.is_external(key) {
            return Ok(());
        }
        match self.store.head(key).await? {
            Some(meta) => {
                let token = self.store.file_change_token(key);
                self.inspect(&ListedObject { meta, change_token: token }, is_complete, false).await
            }
            None => {
                self.settling.remove(key);
                Ok(())
            }
        }
    }

    async fn inspect(&self, found: &ListedObject, is_complete: bool, first: bool) -> Result<()> {
        let (ObjectMeta { key, size }, modified) = (&found.meta, found.change_token);
        let seen = self.queue.seen(key).filter(|seen| seen.size == *size && seen.modified == modified);
        if let Some(seen) = seen {
            self.settling.remove(key);
            if first {
                self.route_object(key, &seen.digest, 0, None);
            }
            return Ok(());
        }
        // Where objects are not files, they appear whole.
        let is_complete = is_complete || self.store.local_root().is_none();
        if !(is_complete || self.settling.is_stable(key, *size, modified)) {
            return Ok(());
        }
        let ingested = self.ingest(key).await;
        self.settling.remove(key);
        ingested
    }

    /// Reads an external object, names it by content, queues what it triggers.
    pub(crate) async fn ingest(&self, key: &str) -> Result<()> {
        let found = match self.store.digest(key).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let seen = SeenObject {
            size: found.size,
            modified: found.change_token,
            digest: found.digest.clone(),
        };
        self.route_object(key, &found.digest, 0, Some(seen));
        Ok(())
    }

    async fn revive_deleted_letters(&self) -> Result<()> {
        // First the known ones, then the listing: a letter that is written in between is in neither, and was not deleted.
        // One whose event is still being acknowledged is looked at the next time.
        let known: Vec<DeadLetter> = self
            .dead_letters()
            .into_iter()
            .filter(|letter| self.queue.get(&letter.id).is_none())
            .collect();
        if known.is_empty() {
            return Ok(());
        }
        let listed = self.store.list_with_tokens(&Prefix::Dead.root()).await?;
        let listed: BTreeMap<&str, ChangeToken> = listed.iter().map(|found| (found.meta.key.as_str(), found.change_token)).collect();
        for letter in known {
            let key = letter.key();
            let Some(token) = listed.get(key.as_str()) else {
                self.revive(&letter);
                self.notify();
                continue;
            };
            // Another process may have marked it as dropped. Only what changed is read; a letter that is damaged, or cannot be read now, was
            // not deleted.
            if self.letter_tokens.lock().get(&key) == Some(token) {
                continue;
            }
            match find_dead_letter(&self.store, &key).await {
                Ok(found) => {
                    found.into_iter().for_each(|letter| self.mark_dead(letter));
                    self.letter_tokens.lock().insert(key, *token);
                }
                Err(error) => warn_passed_over(&key, &error),
            }
        }
        self.letter_tokens.lock().retain(|key, _| listed.contains_key(key.as_str()));
        Ok(())
    }

    /// Whether an object with this key triggers a node as soon as it exists.
    pub(crate) fn is_external(&self, key: &str) -> bool {
        !is_ignored(key) && self.nodes.iter().any(|node| node.classify(key) == KeyRole::External)
    }

    /// Queues what this object triggers and is neither settled nor queued.
    pub(crate) fn route_object(&self, key: &str, digest: &Digest, depth: u32, seen: Option<SeenObject>) {
        let triggered = self.nodes.iter().filter(|node| node.is_triggered_by(key));
        let items = triggered.map(|node| QueueItem::new(&node.stage, &node.resource, key, digest, depth));
        let items: Vec<QueueItem> = items.collect();
        if !items.is_empty() || seen.is_some() {
            self.queue.put(items, seen.map(|seen| (key, seen)));
            self.notify();
        }
    }

    /// Routes a committed outcome: its own key, and what the run wrote. `digest` is that of the record's bytes, where it is known.
    pub(crate) async fn route_outcome(&self, record: &OutcomeRecord, id: &str, digest: Option<Digest>) -> Result<()> {
        let outcome = layout::outcome(&record.stage, &record.resource, id);
        for (key, named) in outcome_objects(&outcome, record) {
            if self.nodes.iter().any(|node| node.is_triggered_by(key)) {
                let digest = match named.or(digest.as_ref()) {
                    Some(digest) => digest.clone(),
                    None => self.store.digest(key).await?.digest,
                };
                self.route_object(key, &digest, record.depth, None);
            }
        }
        failpoint!("after-route");
        Ok(())
    }

    async fn write_schedules(&self) -> Result<()> {
        for (key, bytes) in self.coordinator.write_schedules(Timestamp::now()).await? {
            self.route_object(&key, &Digest::sha256(&bytes), 0, None);
        }
        Ok(())
    }

    async fn handle_file_event(&self, event: FileEvent) -> Result<()> {
        match event {
            FileEvent::Complete(key) => self.inspect_key(&key, true).await,
            FileEvent::Touched(key) if Prefix::Dead.contains(&key) => self.revive_dead_letters().await,
            FileEvent::Touched(key) => self.inspect_key(&key, false).await,
            FileEvent::Folder(key) => {
                let folder = format!("{key}/");
                let prefixes = external_prefixes(&self.nodes);
                if prefixes
                    .iter()
                    .any(|prefix| prefix.starts_with(&folder) || folder.starts_with(prefix))
                {
                    self.young_folders.lock().insert(folder, Instant::now());
                }
                Ok(())
            }
        }
    }

    /// Lists the folders that were made a moment ago, until they are watched.
    async fn list_young_folders(&self) -> Result<()> {
        let folders = self.young_folders.lock().clone();
        let mut result = Ok(());
        for (prefix, made) in folders {
            if made.elapsed() > FOLDER_AGE {
                self.young_folders.lock().remove(&prefix);
            }
            result = result.and(self.scan_prefix(&prefix, false).await);
        }
        result
    }

    /// Closes the windows that can be closed: an upload that is not settled holds back the files that came after it, and no others. What is
    /// held back stays due.
    async fn close_windows(&self) -> Result<()> {
        self.begin_closing();
        let (mut is_complete, mut result) = (true, Ok(()));
        for dataset in self.coordinator.datasets() {
            let Some(before) = self.settled_before(&dataset) else {
                is_complete = false;
                continue;
            };
            let mut closed = Vec::new();
            let may_close = |key: &str| self.may_close(&dataset, key, before);
            let closing = self.coordinator.close_windows(&dataset, &may_close, &mut closed).await;
            for key in closed {
                result = result.and(self.ingest(&key).await);
            }
            is_complete &= closing.is_ok() && self.note_closed(&dataset, before);
            result = result.and(closing);
        }
        self.end_closing(is_complete && result.is_ok());
        result
    }
}

/// The prefixes under which external objects may appear.
fn external_prefixes(nodes: &[NodeSettings]) -> BTreeSet<String> {
    let patterns = nodes.iter().flat_map(|node| &node.on);
    let patterns = patterns.filter(|on| !Prefix::Outcomes.contains(on));
    patterns.map(|on| literal_folder(on).to_owned()).collect()
}

fn outcome_id(key: &str) -> Option<&str> {
    match Key::parse(key)? {
        Key::Outcome { id, .. } => Some(id),
        _ => None,
    }
}
