//! What one run of a stage sees: the store and SQL as far as granted, with everything read and written recorded.
//!
//! Within a run, an object that was bound to a table stays as it was then, even if its key is written meanwhile.

use std::{
    collections::BTreeMap,
    io::Read as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidemill_core::{
    Batches, Digest, Error, ErrorKind, Exported, FetchResponse, Format, Host, Level, Meta, Objects, Put, Result, RunContext, Sql, Table,
    Trigger, digest_json,
    record::{Output, Read},
};

use crate::{BlockingStore, Grants, SqlEngine, SqlReader, Store, fetch, sql};

/// Told how far a run is: a fraction of 1, and what it is doing.
pub type ProgressFn = Arc<dyn Fn(f64, &str) + Send + Sync>;

/// What a run is made of.
pub struct RunSetup {
    /// Where objects are.
    pub store: Store,
    /// What runs the stage's queries.
    pub sql: SqlEngine,
    /// What the stage is told of its run.
    pub context: RunContext,
    /// May be read whatever the grants say.
    pub trigger: Trigger,
    /// What the stage may read, write and fetch.
    pub grants: Grants,
    /// Told when the stage reports; `None` drops it.
    pub progress: Option<ProgressFn>,
    /// The runtime that drives a remote store. The run itself must be on a thread that may block.
    pub handle: tokio::runtime::Handle,
}

impl std::fmt::Debug for RunSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunSetup")
            .field("context", &self.context)
            .field("trigger", &self.trigger)
            .finish_non_exhaustive()
    }
}

/// What a run looked at and wrote, each once, in the order of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// By kind, then key or prefix.
    pub reads: Vec<Read>,
    /// By key.
    pub outputs: Vec<Output>,
}

/// The host interface of one run.
#[derive(Debug)]
pub struct RunHost {
    setup: RunSetup,
    store: BlockingStore,
    seen: Mutex<Seen>,
}

/// By kind and name, so that the record does not depend on the order of a stage's threads.
#[derive(Debug, Default)]
struct Seen {
    reads: BTreeMap<(u8, String), Read>,
    outputs: BTreeMap<String, Output>,
    placed: BTreeMap<String, Arc<sql::Placed>>,
}

impl RunHost {
    /// A host for one run.
    pub fn new(setup: RunSetup) -> Self {
        Self {
            store: setup.store.blocking_on(setup.handle.clone()),
            setup,
            seen: Mutex::default(),
        }
    }

    /// Like [`Sql::query`], with a result that owns itself.
    pub fn reader(&self, sql: &str, tables: &[Table]) -> Result<SqlReader> {
        self.setup.sql.read(sql, &self.bound(tables)?)
    }

    /// What the run looked at and wrote.
    pub fn finish(self) -> Recorded {
        let seen = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        Recorded {
            reads: seen.reads.into_values().collect(),
            outputs: seen.outputs.into_values().collect(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_read(&self, key: &str) -> Result<()> {
        if key == self.setup.trigger.key {
            Ok(())
        } else {
            self.setup.grants.check_read(key)
        }
    }

    /// The first look at a key counts: a later one may see the run's own writing.
    fn saw(&self, read: Read) {
        let name = match &read {
            Read::Object { key, .. } | Read::Absent { key } => (0, key.clone()),
            Read::Listing { prefix, .. } => (1, prefix.clone()),
        };
        let mut seen = self.seen();
        if !seen.outputs.contains_key(&name.1) {
            seen.reads.entry(name).or_insert(read);
        }
    }

    fn saw_bytes(&self, key: &str, bytes: &[u8]) {
        self.saw(Read::Object {
            key: key.to_owned(),
            digest: Digest::of(bytes),
        });
    }

    fn saw_nothing(&self, key: &str) {
        self.saw(Read::Absent { key: key.to_owned() });
    }

    fn wrote(&self, key: &str, digest: Digest, size: u64) {
        let output = Output {
            key: key.to_owned(),
            digest,
            size,
        };
        self.seen().outputs.insert(key.to_owned(), output);
    }

    fn put(&self, key: &str, bytes: &[u8], put: impl FnOnce() -> Result<Put>) -> Result<Put> {
        self.setup.grants.check_write(key)?;
        let done = put()?;
        if done != Put::Conflict {
            self.wrote(key, Digest::of(bytes), bytes.len() as u64);
        }
        Ok(done)
    }

    fn bound(&self, tables: &[Table]) -> Result<Vec<sql::Bound>> {
        let bind = |table: &Table| {
            let objects = table.keys.iter().map(|key| self.placed(key, table.format)).collect::<Result<_>>()?;
            Ok(sql::Bound {
                name: table.name.clone(),
                format: table.format,
                objects,
            })
        };
        tables.iter().map(bind).collect()
    }

    fn placed(&self, key: &str, format: Format) -> Result<Arc<sql::Placed>> {
        self.check_read(key)?;
        let name = format!("{format:?} {key}");
        if let Some(placed) = self.seen().placed.get(&name) {
            return Ok(Arc::clone(placed));
        }
        let placed = self.setup.sql.place(&self.store, key, format).inspect_err(|error| {
            if error.kind == ErrorKind::NotFound {
                self.saw_nothing(key);
            }
        })?;
        self.saw(Read::Object {
            key: key.to_owned(),
            digest: placed.digest.clone(),
        });
        self.seen().placed.insert(name, Arc::clone(&placed));
        Ok(placed)
    }
}

impl Host for RunHost {
    fn context(&self) -> &RunContext {
        &self.setup.context
    }
    fn objects(&self) -> &dyn Objects {
        self
    }
    fn sql(&self) -> &dyn Sql {
        self
    }
    fn progress(&self, fraction: f64, message: &str) {
        if let Some(progress) = &self.setup.progress {
            progress(if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) }, message);
        }
    }
    fn log(&self, level: Level, message: &str) {
        let (subject, run) = (&self.setup.context.subject, &self.setup.context.run_key);
        match level {
            Level::Debug => tracing::debug!(%subject, %run, "{message}"),
            Level::Info => tracing::info!(%subject, %run, "{message}"),
            Level::Warning => tracing::warn!(%subject, %run, "{message}"),
        }
    }
    fn fetch(&self, url: &str, headers: &[(String, String)]) -> Result<FetchResponse> {
        fetch::get(&self.setup.grants, url, headers)
    }
}

impl Objects for RunHost {
    fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.check_read(key)?;
        let found = self.store.get(key);
        match &found {
            Ok(bytes) => self.saw_bytes(key, bytes),
            Err(error) if error.kind == ErrorKind::NotFound => self.saw_nothing(key),
            Err(_) => {}
        }
        found
    }

    /// Recorded by the whole object: a part of it has no name.
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Vec<u8>> {
        self.check_read(key)?;
        let is_known = self.seen().reads.contains_key(&(0, key.to_owned()));
        if !is_known {
            let bytes = Objects::get(self, key)?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(bytes.len());
            return Ok(bytes[start..end].to_vec());
        }
        self.store.get_range(key, offset, length)
    }

    /// Presence alone is recorded as a listing of the one key.
    fn head(&self, key: &str) -> Result<Option<Meta>> {
        self.check_read(key)?;
        let found = self.store.head(key)?;
        match &found {
            None => self.saw_nothing(key),
            Some(meta) => self.saw(listing(key, std::slice::from_ref(meta))),
        }
        Ok(found)
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Put> {
        self.put(key, bytes, || self.store.create(key, bytes))
    }

    fn swap(&self, key: &str, expected: Option<&Digest>, bytes: &[u8]) -> Result<Put> {
        // A pointer is moved, not made: it is no output, or a run that is made again after a crash would name others than the first.
        self.setup.grants.check_write(key)?;
        self.store.swap(key, expected, bytes)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Meta>> {
        self.setup.grants.check_list(prefix)?;
        let found = self.store.list(prefix, after, limit)?;
        let name = after.map_or_else(|| prefix.to_owned(), |after| format!("{prefix} after {after}"));
        self.saw(listing(&name, &found));
        Ok(found)
    }
}

fn listing(prefix: &str, found: &[Meta]) -> Read {
    Read::Listing {
        prefix: prefix.to_owned(),
        keys: found.len() as u64,
        digest: digest_json(&found),
    }
}

impl Sql for RunHost {
    fn query<'a>(&'a self, sql: &str, tables: &[Table]) -> Result<Batches<'a>> {
        Ok(Box::new(self.reader(sql, tables)?))
    }

    fn export(&self, sql: &str, tables: &[Table], key: &str) -> Result<Exported> {
        self.setup.grants.check_write(key)?;
        let (file, rows) = self.setup.sql.export(sql, &self.bound(tables)?)?;
        let mut bytes = Vec::new();
        file.reopen()
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|e| Error::transient(format!("the rows for `{key}` could not be read back: {e}")))?;
        if Objects::create(self, key, &bytes)? == Put::Conflict {
            return Err(Error::input(format!(
                "`{key}` exists with other content; it is written once and never changed: export under the run's key"
            )));
        }
        Ok(Exported {
            rows,
            size: bytes.len() as u64,
            digest: Digest::of(&bytes),
        })
    }
}
