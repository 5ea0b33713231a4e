//! The events that are not done yet: a durable queue in one file, mirrored in memory.
//!
//! The file only saves work at the next start. An item leaves it after its outcome is committed *and* what that triggers is queued.
//! While it cannot be written (a full disk) the mirror alone holds what waits; a start would find it again in the store.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidemill_core::{Digest, Error, Result, trigger_id};
use tidemill_run::{DeadLetter, DeliveryCount, TriggerRef, failpoint};
use tidemill_worker::{Event, EventBody};
use tokio::sync::Notify;

use crate::clock;

/// Ids of settled items that are kept at least; of more, the oldest are forgotten.
const MAX_SETTLED_IDS: usize = 100_000;
/// Longest time between two deliveries of an event that failed.
pub(crate) const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Longest time that an event is held back by a daily budget.
const MAX_HOLD: Duration = Duration::from_secs(86_400);
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
    /// Unix milliseconds. It is not trusted when it is read back: the clock may have been wrong.
    pub due: i64,
    /// When the trigger became known, in Unix milliseconds.
    #[serde(default)]
    pub arrived: i64,
    /// Held back by the daily budget.
    pub held: bool,
    /// Starts of a delivery that did not come back: the process ended meanwhile.
    #[serde(default)]
    pub starts: u32,
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
            arrived: clock::now(),
            held: false,
            starts: 0,
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

    /// The event of an item that was taken: this start is the last of its `starts`.
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
                unfinished: self.starts.saturating_sub(1),
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
    /// The items by id, each with whether it runs.
    entries: BTreeMap<String, (QueueItem, bool)>,
    settled: SettledIds,
    seen: BTreeMap<String, SeenObject>,
}

/// Trigger ids that have an outcome or a dead letter. One that was forgotten may be delivered again, which finds it in the store.
#[derive(Default)]
struct SettledIds {
    recent: HashSet<String>,
    older: HashSet<String>,
}

impl SettledIds {
    fn contains(&self, id: &str) -> bool {
        self.recent.contains(id) || self.older.contains(id)
    }

    fn insert(&mut self, id: String) {
        if self.recent.len() >= MAX_SETTLED_IDS {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(id);
    }

    fn remove(&mut self, id: &str) {
        self.recent.remove(id);
        self.older.remove(id);
    }
}

pub(crate) struct Queue {
    /// `None` after a write that failed: redb takes none after it, also when the disk has room again, until it is opened anew.
    database: Mutex<Option<Database>>,
    path: Option<PathBuf>,
    state: Mutex<State>,
    /// Something became due, or the flow stops.
    pub(crate) changed: Notify,
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
        // Opens the tables, so that a new file has them.
        write_transaction(&database, &[], None, None)?;
        let items = read_table(&database, ITEMS)?.into_iter();
        let now = clock::now();
        let state = State {
            entries: items.map(|(id, item)| (id, (clamp_times(item, now), false))).collect(),
            seen: read_table(&database, SEEN)?,
            settled: SettledIds::default(),
        };
        Ok(Self {
            database: Mutex::new(Some(database)),
            path: path.map(Path::to_owned),
            state: Mutex::new(state),
            changed: Notify::new(),
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

    /// Adds what is neither settled nor there yet, together with the external object that caused it.
    pub(crate) fn put(&self, mut items: Vec<QueueItem>, seen: Option<(&str, SeenObject)>) {
        {
            let state = self.state();
            items.retain(|item| !state.settled.contains(&item.trigger_id()));
            if items.is_empty() && seen.is_none() {
                return;
            }
            for item in &items {
                tidemill_observe::global().record_received(&item.stage, &item.resource);
            }
            items.retain(|item| !state.entries.contains_key(&item.trigger_id()));
        }
        if !items.is_empty() || seen.is_some() {
            self.write(&items, None, seen.as_ref().map(|(key, value)| (*key, value)));
        }
        let mut state = self.state();
        for item in items {
            // It may have been queued meanwhile, and even settled.
            let id = item.trigger_id();
            if !state.settled.contains(&id) {
                state.entries.entry(id).or_insert((item, false));
            }
        }
        if let Some((key, value)) = seen {
            state.seen.insert(key.to_owned(), value);
        }
        drop(state);
        failpoint!("queue-put");
    }

    /// Takes the next item that is due and may run now; `limit` is the most concurrent runs of the item's node. The start is in the file
    /// when this returns. Of items whose last start did not come back one runs at a time: if it ends the process, the others are not
    /// blamed for it.
    pub(crate) fn take_next(&self, now: i64, limit: &dyn Fn(&QueueItem) -> usize) -> Option<QueueItem> {
        let item = self.start_next(now, limit)?;
        self.write(std::slice::from_ref(&item), None, None);
        Some(item)
    }

    fn start_next(&self, now: i64, limit: &dyn Fn(&QueueItem) -> usize) -> Option<QueueItem> {
        let mut state = self.state();
        let mut running: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut is_suspect_running = false;
        for (item, _) in state.entries.values().filter(|(_, is_running)| *is_running) {
            *running.entry((&item.stage, &item.resource)).or_default() += 1;
            is_suspect_running |= item.starts > 1;
        }
        let is_ready = |item: &QueueItem| {
            let runs = running.get(&(item.stage.as_str(), item.resource.as_str())).copied().unwrap_or(0);
            item.due <= now && runs < limit(item) && !(is_suspect_running && item.starts > 0)
        };
        let ready = state.entries.iter().filter(|(_, (item, is_running))| !is_running && is_ready(item));
        let first = ready.min_by(|(_, (a, _)), (_, (b, _))| (a.due, &a.key).cmp(&(b.due, &b.key)));
        let id = first.map(|(id, _)| id.clone())?;
        let (item, is_running) = state.entries.get_mut(&id)?;
        *is_running = true;
        (item.held, item.waits_for) = (false, None);
        item.starts = item.starts.saturating_add(1);
        Some(item.clone())
    }

    /// Removes an item that is done. `is_settled`: its trigger has an outcome or a dead letter, so that it is not queued again.
    pub(crate) fn acknowledge(&self, item: &QueueItem, is_settled: bool) {
        failpoint!("ack");
        let id = item.trigger_id();
        self.write(&[], Some(&id), None);
        let mut state = self.state();
        state.entries.remove(&id);
        if is_settled {
            state.settled.insert(id);
        }
    }

    /// Items with these ids are not queued.
    pub(crate) fn mark_settled(&self, ids: impl IntoIterator<Item = String>) {
        self.state().settled.recent.extend(ids);
    }

    /// Puts an item back, changed: one that was taken, or that of a dead letter. Its start came back.
    pub(crate) fn give_back(&self, mut item: QueueItem) {
        item.starts = 0;
        let id = item.trigger_id();
        let mut state = self.state();
        state.settled.remove(&id);
        state.entries.insert(id, (item.clone(), false));
        drop(state);
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

    /// When the oldest of the matching items became known.
    pub(crate) fn oldest_arrival(&self, predicate: impl Fn(&QueueItem) -> bool) -> Option<i64> {
        let state = self.state();
        let matching = state.entries.values().map(|(item, _)| item).filter(|item| predicate(item));
        matching.map(|item| item.arrived).min()
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

/// The item with no time that only another clock could have written.
fn clamp_times(item: QueueItem, now: i64) -> QueueItem {
    let longest = if item.held { MAX_HOLD } else { MAX_BACKOFF };
    QueueItem {
        due: item.due.min(now.saturating_add(longest.as_millis() as i64)),
        arrived: item.arrived.min(now),
        ..item
    }
}

/// One transaction.
fn write_transaction<'a>(
    database: &Database,
    items: &[QueueItem],
    removed: Option<&str>,
    seen: impl IntoIterator<Item = (&'a str, &'a SeenObject)>,
) -> Result<()> {
    let write = database.begin_write().map_err(file_error)?;
    {
        let mut table = write.open_table(ITEMS).map_err(file_error)?;
        for item in items {
            table
                .insert(item.trigger_id().as_str(), to_json(item)?.as_slice())
                .map_err(file_error)?;
        }
        if let Some(id) = removed {
            table.remove(id).map_err(file_error)?;
        }
        let mut table = write.open_table(SEEN).map_err(file_error)?;
        for (key, value) in seen {
            table.insert(key, to_json(value)?.as_slice()).map_err(file_error)?;
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
        Err(error) if is_damaged(&error) => {
            let aside = path.with_extension("redb.damaged");
            tracing::warn!(
                "the queue's file `{}` is damaged ({error}); it is put aside as `{}`, and rebuilt from the store",
                path.display(),
                aside.display()
            );
            std::fs::rename(path, aside).map_err(file_error)?;
            Database::create(path).map_err(file_error)
        }
        Err(error) => Err(Error::config(format!(
            "the queue's file `{}` cannot be opened: {error}; correct that, or remove the file: it is rebuilt from the store",
            path.display()
        ))),
    }
}

/// Whether the file is no queue that this program can read; any other error may pass, and the file is good.
fn is_damaged(error: &redb::DatabaseError) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        redb::DatabaseError::UpgradeRequired(_) | redb::DatabaseError::RepairAborted => true,
        redb::DatabaseError::Storage(redb::StorageError::Corrupted(_)) => true,
        redb::DatabaseError::Storage(redb::StorageError::Io(error)) => matches!(error.kind(), InvalidData | UnexpectedEof),
        _ => false,
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::bug(format!("a queue item cannot be written: {e}")))
}

/// The rows of a table, without those that another version wrote.
fn read_table<T: DeserializeOwned>(
    database: &Database,
    table: TableDefinition<&'static str, &'static [u8]>,
) -> Result<BTreeMap<String, T>> {
    let read = database.begin_read().map_err(file_error)?;
    let mut found = BTreeMap::new();
    for row in read.open_table(table).map_err(file_error)?.iter().map_err(file_error)? {
        let (key, value) = row.map_err(file_error)?;
        if let Ok(value) = serde_json::from_slice(value.value()) {
            found.insert(key.value().to_owned(), value);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
