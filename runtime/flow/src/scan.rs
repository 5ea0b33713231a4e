//! What is to do follows from the store alone: foreign objects that match a trigger, and committed outcomes with what they wrote.
//!
//! An object that a stage may write counts only through an outcome that names it: half a run triggers nothing.

use std::{
    collections::BTreeSet,
    sync::atomic::Ordering,
    time::{Duration, Instant, SystemTime},
};

use futures::{StreamExt as _, stream};
use tidemill_core::{
    Digest, Error, ErrorKind, ObjectMeta, Result,
    pipeline::{Pipeline, matches},
    record::OutcomeRecord,
};
use tidemill_host::{DeadLetter, ListedObject, Store, is_ignored};

use crate::{
    dead_letters,
    queue::Seen,
    state::{Inner, Look, lock},
};

/// Between two looks at a file that may still grow.
pub(crate) const LOOK_GAP: Duration = Duration::from_millis(100);
/// A file that was not touched for so long needs no second look.
const SETTLED_AGE: Duration = Duration::from_secs(2);

/// Objects that are read at once at the start: a store may be far away.
const READS: usize = 16;

/// All objects under a prefix.
pub async fn list_all(store: &Store, prefix: &str) -> Result<Vec<ObjectMeta>> {
    store.list(prefix, None, usize::MAX).await
}

/// Whether an object with this key counts as soon as it is there.
pub(crate) fn is_foreign(pipeline: &Pipeline, key: &str) -> bool {
    !key.starts_with("outcomes/")
        && !is_ignored(key)
        && pipeline.triggered_nodes(key).next().is_some()
        && !pipeline
            .nodes
            .iter()
            .any(|node| node.writes.iter().any(|pattern| matches(pattern, key)))
}

/// The folders in which foreign objects may appear.
fn foreign_prefixes(pipeline: &Pipeline) -> BTreeSet<String> {
    let patterns = pipeline
        .nodes
        .iter()
        .flat_map(|node| &node.on)
        .filter(|on| !on.starts_with("outcomes/"));
    patterns
        .map(|on| {
            let fixed: Vec<&str> = on.split('/').take_while(|part| !part.contains(['*', '?', '[', '{'])).collect();
            let folders = if fixed.len() == on.split('/').count() {
                fixed.len() - 1
            } else {
                fixed.len()
            };
            fixed[..folders].iter().map(|part| format!("{part}/")).collect()
        })
        .collect()
}

impl Inner {
    /// The start: everything that is in the store and not settled is queued, whatever the queue's file knew.
    pub(crate) async fn rebuild(&self) -> Result<()> {
        let outcomes = list_all(&self.store, "outcomes/").await?;
        let letters = dead_letters::list_dead_letters(&self.store).await?;
        {
            let mut settled = lock(&self.settled);
            settled.extend(outcomes.iter().filter_map(|meta| id_of(&meta.key)).map(str::to_owned));
            settled.extend(letters.iter().map(|letter| letter.id.clone()));
        }
        *lock(&self.dead) = letters.into_iter().map(|letter| (letter.id.clone(), letter)).collect();
        let mut read = stream::iter(outcomes.iter().map(|meta| async move { (meta, self.store.get(&meta.key).await) })).buffered(READS);
        while let Some((meta, bytes)) = read.next().await {
            let bytes = bytes?;
            match (serde_json::from_slice::<OutcomeRecord>(&bytes), id_of(&meta.key)) {
                (Ok(record), Some(id)) => self.route_outcome(&record, id, Some(Digest::sha256(&bytes))).await?,
                (Err(e), _) => tracing::warn!("`{}` is not an outcome and is passed over: {e}", meta.key),
                (_, None) => {}
            }
        }
        self.scan(true).await?;
        self.dirty.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Looks at every place where foreign objects appear. `first`: also at those that were taken in before.
    pub(crate) async fn scan(&self, first: bool) -> Result<()> {
        let _one_at_a_time = self.scanning.lock().await;
        for prefix in foreign_prefixes(&self.pipeline) {
            for found in self.store.list_with_tokens(&prefix).await? {
                if is_foreign(&self.pipeline, &found.meta.key) {
                    self.look_at(&found, false, first).await?;
                }
            }
        }
        self.look_for_deleted_letters().await
    }

    /// Dead letters that someone deleted run again; those that someone dropped no longer count.
    pub(crate) async fn revive(&self) -> Result<()> {
        // Who scans meanwhile waits: it would see neither the letter nor what is queued for it.
        let _one_at_a_time = self.scanning.lock().await;
        self.look_for_deleted_letters().await
    }

    /// Looks once more at the files that may still grow.
    pub(crate) async fn look_again(&self) -> Result<()> {
        let keys: Vec<String> = lock(&self.looks).keys().cloned().collect();
        for key in keys {
            self.look(&key, false).await?;
        }
        Ok(())
    }

    /// Looks at one key; `whole`: whoever wrote it closed it.
    pub(crate) async fn look(&self, key: &str, whole: bool) -> Result<()> {
        if !is_foreign(&self.pipeline, key) {
            return Ok(());
        }
        match self.store.head(key).await? {
            Some(meta) => {
                let stamp = self.store.file_change_token(key);
                self.look_at(&ListedObject { meta, change_token: stamp }, whole, false).await
            }
            None => {
                lock(&self.looks).remove(key);
                Ok(())
            }
        }
    }

    async fn look_at(&self, found: &ListedObject, whole: bool, first: bool) -> Result<()> {
        let (meta, modified) = (&found.meta, found.change_token);
        let key = &meta.key;
        if let Some(seen) = self
            .queue
            .seen(key)
            .filter(|seen| seen.size == meta.size && seen.modified == modified)
        {
            lock(&self.looks).remove(key);
            if first {
                self.route_object(key, &seen.digest, 0, None);
            }
            return Ok(());
        }
        if !(whole || self.is_stable(meta, modified)) {
            self.wake.notify_one();
            return Ok(());
        }
        let taken = self.take_in(key).await;
        lock(&self.looks).remove(key);
        taken
    }

    /// Goes through a foreign object, names it by content, queues what it triggers.
    pub(crate) async fn take_in(&self, key: &str) -> Result<()> {
        let found = match self.store.digest(key).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let seen = Seen {
            size: found.size,
            modified: found.change_token,
            digest: found.digest,
        };
        self.route_object(key, &seen.digest.clone(), 0, Some(seen));
        Ok(())
    }

    fn is_stable(&self, meta: &ObjectMeta, modified: i128) -> bool {
        let age = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |now| now.as_nanos() as i128 - modified);
        // Where objects are not files, they appear whole.
        if self.store.local_root().is_none() || age > SETTLED_AGE.as_nanos() as i128 {
            return true;
        }
        let mut looks = lock(&self.looks);
        match looks.get(&meta.key) {
            Some(look) if look.size == meta.size && look.modified == modified => look.at.elapsed() >= LOOK_GAP,
            _ => {
                let look = Look {
                    size: meta.size,
                    modified,
                    at: Instant::now(),
                };
                looks.insert(meta.key.clone(), look);
                false
            }
        }
    }

    async fn look_for_deleted_letters(&self) -> Result<()> {
        // First those that are known, then the listing: a letter that is written in between is in neither, and nobody deleted it.
        let known: Vec<DeadLetter> = lock(&self.dead).values().cloned().collect();
        if known.is_empty() {
            return Ok(());
        }
        let there = dead_letters::list_dead_letters(&self.store).await?;
        for letter in known {
            match there.iter().find(|other| other.id == letter.id) {
                Some(other) => {
                    lock(&self.dead).insert(letter.id.clone(), other.clone());
                }
                None => {
                    lock(&self.settled).remove(&letter.id);
                    // At no moment it is in neither, and one that fails again meanwhile is not forgotten.
                    let mut dead = lock(&self.dead);
                    self.queue.put(vec![dead_letters::item(&letter)], None);
                    dead.remove(&letter.id);
                    drop(dead);
                    self.wake.notify_one();
                }
            }
        }
        Ok(())
    }
}

fn id_of(key: &str) -> Option<&str> {
    key.rsplit('/').next()?.strip_suffix(".json")
}

/// The circle in the chain that leads a node back to itself, for a message.
pub(crate) fn circle(pipeline: &Pipeline, node: &str) -> Option<String> {
    let edges = pipeline.edges();
    let mut paths = vec![vec![node.to_owned()]];
    for _ in 0..pipeline.nodes.len() {
        let mut longer = Vec::new();
        for path in paths {
            for edge in edges.iter().filter(|edge| path.last() == Some(&edge.from)) {
                let mut path = path.clone();
                let again = path.contains(&edge.to);
                path.push(edge.to.clone());
                if edge.to == node {
                    return Some(path.join(" → "));
                }
                if !again {
                    longer.push(path);
                }
            }
        }
        paths = longer;
    }
    None
}

/// An error that stops the flow from looking, said with what it did.
pub(crate) fn looking(error: Error) -> Error {
    error.context("cannot look for new objects")
}
