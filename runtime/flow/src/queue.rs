//! The events that are not done yet: a durable queue in one file, mirrored in memory.
//!
//! The file only saves work at the next start. An item leaves it after its outcome is committed *and* what that triggers is queued.
//! While it cannot be written (a full disk) the mirror alone holds what waits; a start would find it again in the store.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use parking_lot::{Mutex, MutexGuard};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};
use tidemill_core::{Digest, Error, Result, Trigger, trigger_id};
use tidemill_run::{DeadLetter, DeliveryCount, TriggerRef, failpoint};
use tidemill_worker::{Event, EventBody};

const ITEMS: TableDefinition<&str, &[u8]> = TableDefinition::new("items");
const SEEN: TableDefinition<&str, &[u8]> = TableDefinition::new("seen");

/// One trigger that waits for one node.
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
    /// Steps since a user or a schedule wrote something.
    pub depth: u32,
    /// Failed deliveries so far.
    pub attempt: u32,
    /// Failed deliveries since the last progress of its resource: this drives the backoff.
    pub retries: u32,
    /// Unix milliseconds, wall clock.
    pub due: i64,
    /// Held back by the daily budget.
    pub held: bool,
    /// The reason why it waits.
    pub waits_for: Option<String>,
}

impl QueueItem {
    pub(crate) fn new(stage: &str, resource: &str, key: &str, digest: &Digest, depth: u32) -> Self {
        Self {
            stage: stage.into(),
            resource: resource.into(),
            key: key.into(),
            digest: digest.clone(),
            depth,
            attempt: 0,
            retries: 0,
            due: 0,
            held: false,
            waits_for: None,
        }
    }

    /// The event of a dead letter, to be tried again.
    pub(crate) fn from_dead_letter(letter: &DeadLetter) -> Self {
        let DeadLetter {
            stage, resource, trigger, ..
        } = letter;
        Self {
            attempt: letter.attempt,
            ..Self::new(stage, resource, &trigger.key, &trigger.digest, letter.depth)
        }
    }

    pub(crate) fn to_dead_letter(&self, error: &Error) -> DeadLetter {
        DeadLetter {
            id: self.trigger_id(),
            stage: self.stage.clone(),
            resource: self.resource.clone(),
            trigger: Trigger {
                key: self.key.clone(),
                digest: self.digest.clone(),
            },
            kind: error.kind,
            message: error.message.clone(),
            attempt: self.attempt + 1,
            depth: self.depth,
            dropped: false,
        }
    }

    pub(crate) fn to_event(&self) -> Event {
        Event {
            id: self.trigger_id(),
            body: EventBody::Trigger {
                stage: self.stage.clone(),
                resource: self.resource.clone(),
                trigger: TriggerRef {
                    key: self.key.clone(),
                    depth: self.depth,
                    digest: Some(self.digest.clone()),
                },
            },
            count: DeliveryCount {
                attempt: self.attempt + 1,
                failures: self.retries,
            },
        }
    }

    /// Names the item, and the outcome that it may have.
    pub fn trigger_id(&self) -> String {
        trigger_id(&self.stage, &self.resource, &self.key, &self.digest)
    }
}

/// An external object as it was when it was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenObject {
    pub(crate) size: u64,
    /// Unix nanoseconds; 0 where the store has none.
    pub(crate) modified: i128,
    pub(crate) digest: Digest,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, (QueueItem, bool)>,
    seen: BTreeMap<String, SeenObject>,
}

pub(crate) struct Queue {
    /// `None` after a write that failed: redb takes none after it, also when the disk has room again, until it is opened anew.
    database: Mutex<Option<Database>>,
    path: Option<PathBuf>,
    state: Mutex<State>,
}

fn file_error(error: impl std::fmt::Display) -> Error {
    Error::transient(format!("the queue's file cannot be used: {error}"))
}

impl Queue {
    /// Opens the file; a damaged one is replaced, since all of it is found again. `None` keeps the queue in memory.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let database = match path {
            None => Database::builder()
                .create_with_backend(redb::backends::InMemoryBackend::new())
                .map_err(file_error)?,
            Some(path) => open_file(path)?,
        };
        let mut state = State::default();
        {
            let write = database.begin_write().map_err(file_error)?;
            write.open_table(ITEMS).map_err(file_error)?;
            write.open_table(SEEN).map_err(file_error)?;
            write.commit().map_err(file_error)?;
            let read = database.begin_read().map_err(file_error)?;
            for row in read.open_table(ITEMS).map_err(file_error)?.iter().map_err(file_error)? {
                let (key, value) = row.map_err(file_error)?;
                if let Ok(item) = serde_json::from_slice::<QueueItem>(value.value()) {
                    state.entries.insert(key.value().to_owned(), (item, false));
                }
            }
            for row in read.open_table(SEEN).map_err(file_error)?.iter().map_err(file_error)? {
                let (key, value) = row.map_err(file_error)?;
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
        self.state.lock()
    }

    fn write(&self, items: &[QueueItem], removed: Option<&str>, seen: Option<(&str, &SeenObject)>) {
        let mut slot = self.database.lock();
        let behind = slot.is_none();
        let result = match slot.take() {
            Some(database) => Ok(database),
            None => self.reopen(),
        };
        let result = result.and_then(|database| write_transaction(&database, items, removed, seen).map(|()| database));
        match result {
            Ok(database) => *slot = Some(database),
            Err(error) if behind => tracing::debug!("{error}"),
            Err(error) => tracing::warn!("{error}; what waits is kept in memory until it can, and is found in the store by the next start"),
        }
    }

    /// The file opened anew, saying what the mirror says.
    fn reopen(&self) -> Result<Database> {
        let path = self.path.as_deref().ok_or_else(|| Error::bug("a queue in memory failed"))?;
        let database = Database::create(path).map_err(file_error)?;
        let write = database.begin_write().map_err(file_error)?;
        write.delete_table(ITEMS).map_err(file_error)?;
        write.delete_table(SEEN).map_err(file_error)?;
        write.open_table(ITEMS).map_err(file_error)?;
        write.open_table(SEEN).map_err(file_error)?;
        write.commit().map_err(file_error)?;
        let (items, seen) = {
            let state = self.state();
            let items: Vec<QueueItem> = state.entries.values().map(|(item, _)| item.clone()).collect();
            (items, state.seen.clone())
        };
        write_transaction(&database, &items, None, seen.iter().map(|(key, seen)| (key.as_str(), seen)))?;
        tracing::info!("the queue's file `{}` is written again", path.display());
        Ok(database)
    }

    /// Adds what is not there yet, together with the external object that caused it.
    pub(crate) fn put(&self, items: Vec<QueueItem>, seen: Option<(&str, SeenObject)>) {
        let fresh: Vec<QueueItem> = {
            let state = self.state();
            items
                .into_iter()
                .filter(|item| !state.entries.contains_key(&item.trigger_id()))
                .collect()
        };
        if !fresh.is_empty() || seen.is_some() {
            self.write(&fresh, None, seen.as_ref().map(|(key, value)| (*key, value)));
        }
        let mut state = self.state();
        for item in fresh {
            state.entries.entry(item.trigger_id()).or_insert((item, false));
        }
        if let Some((key, value)) = seen {
            state.seen.insert(key.to_owned(), value);
        }
        drop(state);
        failpoint!("queue-put");
    }

    /// Takes the next item that is due and may run now; `limit` is the most concurrent runs of the item's node.
    pub(crate) fn take_next(&self, now: i64, limit: &dyn Fn(&QueueItem) -> usize) -> Option<QueueItem> {
        let mut state = self.state();
        let mut running: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (item, _) in state.entries.values().filter(|(_, is_running)| *is_running) {
            *running.entry((&item.stage, &item.resource)).or_default() += 1;
        }
        let is_ready = |item: &QueueItem| {
            let runs = running.get(&(item.stage.as_str(), item.resource.as_str())).copied().unwrap_or(0);
            item.due <= now && runs < limit(item)
        };
        let ready = state.entries.iter().filter(|(_, (item, is_running))| !is_running && is_ready(item));
        let first = ready.min_by(|(_, (a, _)), (_, (b, _))| (a.due, &a.key).cmp(&(b.due, &b.key)));
        let id = first.map(|(id, _)| id.clone())?;
        let (item, is_running) = state.entries.get_mut(&id)?;
        *is_running = true;
        (item.held, item.waits_for) = (false, None);
        Some(item.clone())
    }

    /// Removes an item that is done.
    pub(crate) fn acknowledge(&self, item: &QueueItem) {
        failpoint!("ack");
        self.write(&[], Some(&item.trigger_id()), None);
        self.state().entries.remove(&item.trigger_id());
    }

    /// Puts a taken item back, changed.
    pub(crate) fn give_back(&self, item: QueueItem) {
        self.state().entries.insert(item.trigger_id(), (item.clone(), false));
        self.write(&[item], None, None);
    }

    /// Something of this resource was committed: the items that wait for it are due.
    pub(crate) fn wake(&self, resource: &str) {
        for (item, is_running) in self.state().entries.values_mut() {
            if !*is_running && !item.held && item.resource == resource && item.waits_for.is_some() {
                (item.due, item.retries) = (0, 0);
            }
        }
    }

    /// The item of this id, waiting or running.
    pub(crate) fn get(&self, id: &str) -> Option<QueueItem> {
        self.state().entries.get(id).map(|(item, _)| item.clone())
    }

    /// The earliest time after `now` at which something waiting becomes due.
    pub(crate) fn next_due_after(&self, now: i64) -> Option<i64> {
        self.state()
            .entries
            .values()
            .filter(|(item, is_running)| !is_running && item.due > now)
            .map(|(item, _)| item.due)
            .min()
    }

    pub(crate) fn items(&self) -> Vec<(QueueItem, bool)> {
        self.state().entries.values().cloned().collect()
    }

    pub(crate) fn any(&self, predicate: impl Fn(&QueueItem) -> bool) -> bool {
        self.find(predicate).is_some()
    }

    pub(crate) fn find(&self, predicate: impl Fn(&QueueItem) -> bool) -> Option<QueueItem> {
        self.state()
            .entries
            .values()
            .map(|(item, _)| item)
            .find(|item| predicate(item))
            .cloned()
    }

    pub(crate) fn seen(&self, key: &str) -> Option<SeenObject> {
        self.state().seen.get(key).cloned()
    }

    /// Forgets items that the pipeline has no stage for any more.
    pub(crate) fn retain(&self, keep: impl Fn(&QueueItem) -> bool) {
        let items = self.items().into_iter().map(|(item, _)| item);
        for item in items.filter(|item| !keep(item)) {
            self.write(&[], Some(&item.trigger_id()), None);
            self.state().entries.remove(&item.trigger_id());
        }
    }
}

/// One transaction.
fn write_transaction<'a>(
    database: &Database,
    items: &[QueueItem],
    removed: Option<&str>,
    seen: impl IntoIterator<Item = (&'a str, &'a SeenObject)>,
) -> Result<()> {
    let json = |value: &dyn erased::Json| value.bytes();
    let write = database.begin_write().map_err(file_error)?;
    {
        let mut table = write.open_table(ITEMS).map_err(file_error)?;
        for item in items {
            table
                .insert(item.trigger_id().as_str(), json(item)?.as_slice())
                .map_err(file_error)?;
        }
        if let Some(id) = removed {
            table.remove(id).map_err(file_error)?;
        }
        let mut table = write.open_table(SEEN).map_err(file_error)?;
        for (key, value) in seen {
            table.insert(key, json(value)?.as_slice()).map_err(file_error)?;
        }
    }
    write.commit().map_err(file_error)
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
            std::fs::remove_file(path).map_err(file_error)?;
            Database::create(path).map_err(file_error)
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
            let taken = queue.take_next(0, &|_| 1).unwrap();
            queue.acknowledge(&taken);
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
        let kept = queue.database.lock().take();
        queue.put(vec![item("a", "k3")], None);
        let taken = queue.take_next(0, &|_| 1).unwrap();
        queue.acknowledge(&taken);
        assert!(queue.database.lock().is_none());
        drop(kept);
        queue.put(vec![item("a", "k4")], None);
        drop(queue);
        let keys: Vec<String> = Queue::open(Some(&path)).unwrap().items().into_iter().map(|(i, _)| i.key).collect();
        assert_eq!(keys.len(), 3, "{keys:?}");
        assert!(!keys.contains(&taken.key), "{keys:?}");
    }

    #[test]
    fn waiting_items_wake_with_their_resource() {
        let queue = Queue::open(None).unwrap();
        queue.put(vec![item("retrain", "k")], None);
        let mut taken = queue.take_next(0, &|_| 1).unwrap();
        (taken.due, taken.waits_for) = (1000, Some("x".into()));
        queue.give_back(taken);
        assert!(queue.take_next(10, &|_| 1).is_none());
        queue.wake("other");
        assert!(queue.take_next(10, &|_| 1).is_none());
        queue.wake("m");
        assert!(queue.take_next(10, &|_| 1).is_some());
    }
}
