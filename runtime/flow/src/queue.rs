//! What is still to do: a durable queue in one file, mirrored in memory.
//!
//! The file only saves work at the next start. An item leaves it after its outcome is committed *and* what that triggers is queued.
//! While it cannot be written (a full disk) the mirror alone holds what waits; a start would find it again in the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};
use tidemill_core::{Digest, Error, Result, trigger_id};

use crate::kill;

const ITEMS: TableDefinition<&str, &[u8]> = TableDefinition::new("items");
const SEEN: TableDefinition<&str, &[u8]> = TableDefinition::new("seen");

/// One trigger that waits for one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct QueueItem {
    /// The stage that is to run.
    pub stage: String,
    /// The dataset or model that it runs for.
    pub resource: String,
    /// The trigger's key.
    pub key: String,
    /// SHA-256 of the trigger's bytes.
    pub digest: Digest,
    /// Steps since a person or a schedule put something in.
    pub depth: u32,
    /// Runs so far.
    pub attempt: u32,
    /// Runs since the last progress of its resource: this drives the backoff.
    pub retries: u32,
    /// Unix milliseconds, wall clock.
    pub due: i64,
    /// Held back by the daily budget.
    pub held: bool,
    /// Above 0 for the extra deliveries of a test.
    pub copy: u32,
    /// Why it waits.
    pub waits_for: Option<String>,
}

impl QueueItem {
    pub(crate) fn new(stage: &str, resource: &str, key: &str, digest: &Digest, depth: u32) -> Self {
        Self {
            stage: stage.into(),
            resource: resource.into(),
            key: key.into(),
            digest: digest.clone(),
            depth: depth,
            attempt: 0,
            retries: 0,
            due: 0,
            held: false,
            copy: 0,
            waits_for: None,
        }
    }
    /// Names the outcome that it may have.
    pub fn trigger_id(&self) -> String {
        trigger_id(&self.stage, &self.resource, &self.key, &self.digest)
    }
    fn id(&self) -> String {
        format!("{}.{}", self.trigger_id(), self.copy)
    }
}

/// What a foreign object was like when it was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) size: u64,
    /// Unix nanoseconds; 0 where the store has none.
    pub(crate) modified: i128,
    pub(crate) digest: Digest,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, (QueueItem, bool)>,
    seen: BTreeMap<String, Seen>,
}

pub(crate) struct Queue {
    /// `None` after a write that failed: redb takes none after it, also when the disk has room again, until it is opened anew.
    database: Mutex<Option<Database>>,
    path: Option<PathBuf>,
    state: Mutex<State>,
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::transient(format!("the queue's file cannot be used: {error}"))
}

impl Queue {
    /// Opens the file; a damaged one is replaced, since all of it is found again. `None` keeps the queue in memory.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let database = match path {
            None => Database::builder()
                .create_with_backend(redb::backends::InMemoryBackend::new())
                .map_err(failed)?,
            Some(path) => open_file(path)?,
        };
        let mut state = State::default();
        {
            let write = database.begin_write().map_err(failed)?;
            write.open_table(ITEMS).map_err(failed)?;
            write.open_table(SEEN).map_err(failed)?;
            write.commit().map_err(failed)?;
            let read = database.begin_read().map_err(failed)?;
            for row in read.open_table(ITEMS).map_err(failed)?.iter().map_err(failed)? {
                let (key, value) = row.map_err(failed)?;
                if let Ok(item) = serde_json::from_slice::<QueueItem>(value.value()) {
                    state.entries.insert(key.value().to_owned(), (item, false));
                }
            }
            for row in read.open_table(SEEN).map_err(failed)?.iter().map_err(failed)? {
                let (key, value) = row.map_err(failed)?;
                if let Ok(seen) = serde_json::from_slice(value.value()) {
                    state.seen.insert(key.value().to_owned(), seen);
                }
            }
        }
        Ok(Self {
            database: Mutex::new(Some(database)),
            path: path.map(Path::to_owned),
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, items: &[QueueItem], removed: Option<&str>, seen: Option<(&str, &Seen)>) {
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = slot.is_none();
        let result = match slot.take() {
            Some(database) => Ok(database),
            None => self.caught_up(),
        };
        let result = result.and_then(|database| written(&database, items, removed, seen).map(|()| database));
        match result {
            Ok(database) => *slot = Some(database),
            Err(error) if behind => tracing::debug!("{error}"),
            Err(error) => tracing::warn!("{error}; what waits is kept in memory until it can, and is found in the store by the next start"),
        }
    }

    /// The file opened anew, saying what the mirror says.
    fn caught_up(&self) -> Result<Database> {
        let path = self.path.as_deref().ok_or_else(|| Error::bug("a queue in memory failed"))?;
        let database = Database::create(path).map_err(failed)?;
        let write = database.begin_write().map_err(failed)?;
        write.delete_table(ITEMS).map_err(failed)?;
        write.delete_table(SEEN).map_err(failed)?;
        write.open_table(ITEMS).map_err(failed)?;
        write.open_table(SEEN).map_err(failed)?;
        write.commit().map_err(failed)?;
        let (items, seen) = {
            let state = self.state();
            let items: Vec<QueueItem> = state.entries.values().map(|(item, _)| item.clone()).collect();
            (items, state.seen.clone())
        };
        written(&database, &items, None, seen.iter().map(|(key, seen)| (key.as_str(), seen)))?;
        tracing::info!("the queue's file `{}` is written again", path.display());
        Ok(database)
    }

    /// Adds what is not there yet, together with the note that a foreign object was taken in.
    pub(crate) fn put(&self, items: Vec<QueueItem>, seen: Option<(&str, Seen)>) {
        let fresh: Vec<QueueItem> = {
            let state = self.state();
            items.into_iter().filter(|item| !state.entries.contains_key(&item.id())).collect()
        };
        if !fresh.is_empty() || seen.is_some() {
            self.write(&fresh, None, seen.as_ref().map(|(key, value)| (*key, value)));
        }
        let mut state = self.state();
        for item in fresh {
            state.entries.entry(item.id()).or_insert((item, false));
        }
        if let Some((key, value)) = seen {
            state.seen.insert(key.to_owned(), value);
        }
        drop(state);
        kill::pass("queue-put");
    }

    /// Takes the next item that is due and may run now; `limit` is the most runs at once of the item's node.
    pub(crate) fn take(&self, now: i64, limit: &dyn Fn(&QueueItem) -> usize) -> Option<QueueItem> {
        let mut state = self.state();
        let mut running: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (item, _) in state.entries.values().filter(|(_, runs)| *runs) {
            *running.entry((&item.stage, &item.resource)).or_default() += 1;
        }
        let training = training_subjects(&state);
        let mut ready: Vec<(&String, &QueueItem)> = state
            .entries
            .iter()
            .filter(|(_, (item, runs))| !runs && item.due <= now)
            .map(|(id, (item, _))| (id, item))
            .collect();
        ready.sort_by(|(_, a), (_, b)| (a.due, &a.key).cmp(&(b.due, &b.key)));
        let (id, _) = ready.into_iter().find(|(_, item)| {
            let at_once = running.get(&(item.stage.as_str(), item.resource.as_str())).copied().unwrap_or(0);
            let waits = item.stage == "featurize" && training.get(item.resource.as_str()).is_some_and(|key| *key != item.key);
            at_once < limit(item) && !waits
        })?;
        let id = id.clone();
        let entry = state.entries.get_mut(&id)?;
        entry.1 = true;
        Some(entry.0.clone())
    }

    /// Removes what is done.
    pub(crate) fn ack(&self, item: &QueueItem) {
        kill::pass("ack");
        self.write(&[], Some(&item.id()), None);
        self.state().entries.remove(&item.id());
    }

    /// Puts a taken item back, changed.
    pub(crate) fn give_back(&self, item: QueueItem) {
        self.state().entries.insert(item.id(), (item.clone(), false));
        self.write(&[item], None, None);
    }

    /// Something of this resource was committed: whoever waits for it looks again at once.
    pub(crate) fn wake(&self, resource: &str) {
        for (item, runs) in self.state().entries.values_mut() {
            if !*runs && !item.held && item.resource == resource && item.retries > 0 {
                (item.due, item.retries) = (0, 0);
            }
        }
    }

    /// The earliest time after `now` at which something waiting becomes due.
    pub(crate) fn next_due_after(&self, now: i64) -> Option<i64> {
        self.state()
            .entries
            .values()
            .filter(|(item, runs)| !runs && item.due > now)
            .map(|(item, _)| item.due)
            .min()
    }

    pub(crate) fn items(&self) -> Vec<(QueueItem, bool)> {
        self.state().entries.values().cloned().collect()
    }

    pub(crate) fn any(&self, what: impl Fn(&QueueItem) -> bool) -> bool {
        self.state().entries.values().any(|(item, _)| what(item))
    }

    pub(crate) fn seen(&self, key: &str) -> Option<Seen> {
        self.state().seen.get(key).cloned()
    }

    /// Forgets items that the pipeline has no stage for any more.
    pub(crate) fn retain(&self, keep: impl Fn(&QueueItem) -> bool) {
        let items = self.items().into_iter().map(|(item, _)| item);
        for item in items.filter(|item| !keep(item)) {
            self.write(&[], Some(&item.id()), None);
            self.state().entries.remove(&item.id());
        }
    }
}

/// One transaction.
fn written<'a>(
    database: &Database,
    items: &[QueueItem],
    removed: Option<&str>,
    seen: impl IntoIterator<Item = (&'a str, &'a Seen)>,
) -> Result<()> {
    let json = |value: &dyn erased::Json| value.bytes();
    let write = database.begin_write().map_err(failed)?;
    {
        let mut table = write.open_table(ITEMS).map_err(failed)?;
        for item in items {
            table.insert(item.id().as_str(), json(item)?.as_slice()).map_err(failed)?;
        }
        if let Some(id) = removed {
            table.remove(id).map_err(failed)?;
        }
        let mut table = write.open_table(SEEN).map_err(failed)?;
        for (key, value) in seen {
            table.insert(key, json(value)?.as_slice()).map_err(failed)?;
        }
    }
    write.commit().map_err(failed)
}

/// Trainings of one model go one after the other, in the order of their requests, so that each candidate meets the champion
/// that the one before it left. By resource: the key of the request that may be featurized now, or an empty one if none may.
fn training_subjects(state: &State) -> BTreeMap<&str, &str> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut busy: BTreeSet<&str> = BTreeSet::new();
    for (item, _) in state.entries.values() {
        match item.stage.as_str() {
            "featurize" if !item.held => {
                let key = first.entry(&item.resource).or_insert(&item.key);
                *key = (*key).min(&item.key);
            }
            "train" | "evaluate" | "register" => {
                busy.insert(&item.resource);
            }
            _ => {}
        }
    }
    first.extend(busy.into_iter().map(|resource| (resource, "")));
    first
}

fn open_file(path: &Path) -> Result<Database> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Error::config(format!("cannot make `{}`: {e}", folder.display())))?;
    }
    match Database::create(path) {
        Ok(database) => Ok(database),
        Err(redb::DatabaseError::DatabaseAlreadyOpen) => Err(Error::config(format!(
            "`{}` is in use: another `tidemill up` runs on this store; stop it first",
            path.display()
        ))),
        Err(error) => {
            tracing::warn!(
                "the queue's file `{}` is damaged ({error}); it is rebuilt from the store",
                path.display()
            );
            std::fs::remove_file(path).map_err(failed)?;
            Database::create(path).map_err(failed)
        }
    }
}

mod erased {
    use tidemill_core::{Error, Result};

    pub(super) trait Json {
        fn bytes(&self) -> Result<Vec<u8>>;
    }
    impl<T: serde::Serialize> Json for T {
        fn bytes(&self) -> Result<Vec<u8>> {
            serde_json::to_vec(self).map_err(|e| Error::bug(format!("a queue item cannot be written: {e}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(stage: &str, key: &str) -> QueueItem {
        QueueItem::new(stage, "m", key, &Digest::sha256(key.as_bytes()), 0)
    }

    #[test]
    fn survives_a_restart_and_a_damaged_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.redb");
        {
            let queue = Queue::open(Some(&path)).unwrap();
            queue.put(vec![item("a", "k1"), item("a", "k2")], None);
            let taken = queue.take(0, &|_| 1).unwrap();
            queue.ack(&taken);
            let error = Queue::open(Some(&path)).err().unwrap();
            assert!(error.message.contains("another `tidemill up`"), "{error}");
        }
        let queue = Queue::open(Some(&path)).unwrap();
        assert_eq!(queue.items().into_iter().map(|(i, _)| i.key).collect::<Vec<_>>(), ["k2"]);
        drop(queue);
        std::fs::write(&path, b"no database").unwrap();
        assert!(Queue::open(Some(&path)).unwrap().items().is_empty());
    }

    #[test]
    fn a_file_that_failed_catches_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.redb");
        let queue = Queue::open(Some(&path)).unwrap();
        queue.put(vec![item("a", "k1"), item("a", "k2")], None);
        // As after a write that failed: nothing reaches the file, and it cannot be opened yet.
        let kept = queue.database.lock().unwrap().take();
        queue.put(vec![item("a", "k3")], None);
        let taken = queue.take(0, &|_| 1).unwrap();
        queue.ack(&taken);
        assert!(queue.database.lock().unwrap().is_none());
        drop(kept);
        queue.put(vec![item("a", "k4")], None);
        drop(queue);
        let keys: Vec<String> = Queue::open(Some(&path)).unwrap().items().into_iter().map(|(i, _)| i.key).collect();
        assert_eq!(keys.len(), 3, "{keys:?}");
        assert!(!keys.contains(&taken.key), "{keys:?}");
    }

    #[test]
    fn one_training_after_the_other() {
        let queue = Queue::open(None).unwrap();
        queue.put(vec![item("featurize", "requests/m/2"), item("featurize", "requests/m/1")], None);
        let first = queue.take(0, &|_| 9).unwrap();
        assert_eq!(first.key, "requests/m/1");
        assert!(queue.take(0, &|_| 9).is_none());
        queue.put(vec![item("train", "outcomes/featurize/m/x")], None);
        queue.ack(&first);
        let train = queue.take(0, &|_| 9).unwrap();
        assert_eq!(train.stage, "train");
        assert!(queue.take(0, &|_| 9).is_none());
        queue.ack(&train);
        assert_eq!(queue.take(0, &|_| 9).unwrap().key, "requests/m/2");
    }

    #[test]
    fn waiting_items_wake_with_their_subject() {
        let queue = Queue::open(None).unwrap();
        queue.put(vec![item("retrain", "k")], None);
        let mut taken = queue.take(0, &|_| 1).unwrap();
        (taken.due, taken.retries) = (1000, 1);
        queue.give_back(taken);
        assert!(queue.take(10, &|_| 1).is_none());
        queue.wake("other");
        assert!(queue.take(10, &|_| 1).is_none());
        queue.wake("m");
        assert!(queue.take(10, &|_| 1).is_some());
    }
}
