//! What is to do follows from the store alone: external objects that match a trigger, and committed outcomes with what they wrote.
//!
//! An object that a stage may write counts only through an outcome that names it: half a run triggers nothing.

use std::collections::BTreeSet;

use futures::{StreamExt as _, stream};
use tidemill_core::{
    Digest, ErrorKind, ObjectMeta, Result,
    layout::{Key, Prefix, literal_folder},
    pipeline::Pipeline,
    record::OutcomeRecord,
};
use tidemill_run::list_dead_letters;
use tidemill_store::ListedObject;

use crate::{
    queue::{QueueItem, SeenObject},
    state::FlowState,
};

/// Concurrent reads at the start: a store may be far away.
const READ_CONCURRENCY: usize = 16;

/// The prefixes under which external objects may appear.
fn external_prefixes(pipeline: &Pipeline) -> BTreeSet<String> {
    let patterns = pipeline.nodes.iter().flat_map(|node| &node.on);
    let patterns = patterns.filter(|on| !Prefix::Outcomes.contains(on));
    patterns.map(|on| literal_folder(on).to_owned()).collect()
}

impl FlowState {
    /// The start: everything that is in the store and not settled is queued, whatever the queue's file knew.
    pub(crate) async fn rebuild(&self) -> Result<()> {
        let outcomes = self.store.list(&Prefix::Outcomes.root(), None, usize::MAX).await?;
        self.mark_settled(outcomes.iter().filter_map(|meta| outcome_id(&meta.key)).map(str::to_owned));
        for letter in list_dead_letters(&self.store).await? {
            self.mark_dead(letter);
        }
        let reads = outcomes.iter().map(|meta| async move { (meta, self.store.get(&meta.key).await) });
        let mut read = stream::iter(reads).buffered(READ_CONCURRENCY);
        while let Some((meta, bytes)) = read.next().await {
            let bytes = bytes?;
            match (serde_json::from_slice::<OutcomeRecord>(&bytes), outcome_id(&meta.key)) {
                (Ok(record), Some(id)) => self.route_outcome(&record, id, Some(Digest::sha256(&bytes))).await?,
                (Err(e), _) => tracing::warn!("`{}` is skipped: it is not an outcome record: {e}", meta.key),
                (_, None) => {}
            }
        }
        self.scan(true).await?;
        self.mark_windows_due();
        Ok(())
    }

    /// Lists all external objects. `first`: also routes those that were taken in before.
    pub(crate) async fn scan(&self, first: bool) -> Result<()> {
        let _one_at_a_time = self.scanning.lock().await;
        for prefix in external_prefixes(&self.pipeline) {
            for found in self.store.list_with_tokens(&prefix).await? {
                if self.is_external(&found.meta.key) {
                    self.inspect(&found, false, first).await?;
                }
            }
        }
        if !self.settling.is_empty() {
            self.changed.notify_one();
        }
        self.revive_deleted_letters().await
    }

    /// Queues the events of dead letters that were deleted. Those that were dropped no longer count.
    pub(crate) async fn revive_dead_letters(&self) -> Result<()> {
        // A concurrent scan waits: it would see neither the letter nor what is queued for it.
        let _one_at_a_time = self.scanning.lock().await;
        self.revive_deleted_letters().await
    }

    /// Looks once more at the files that may still grow.
    pub(crate) async fn recheck_settling(&self) -> Result<()> {
        for key in self.settling.keys() {
            self.inspect_key(&key, false).await?;
        }
        Ok(())
    }

    /// Looks at one key; `is_complete`: its writer closed the file.
    pub(crate) async fn inspect_key(&self, key: &str, is_complete: bool) -> Result<()> {
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
        let known = self.dead_letters();
        if known.is_empty() {
            return Ok(());
        }
        let stored = list_dead_letters(&self.store).await?;
        for letter in known {
            match stored.iter().find(|other| other.id == letter.id) {
                Some(other) => self.mark_dead(other.clone()),
                None => {
                    self.revive(&letter, || self.queue.put(vec![QueueItem::from_dead_letter(&letter)], None));
                    self.notify();
                }
            }
        }
        Ok(())
    }
}

fn outcome_id(key: &str) -> Option<&str> {
    match Key::parse(key)? {
        Key::Outcome { id, .. } => Some(id),
        _ => None,
    }
}
