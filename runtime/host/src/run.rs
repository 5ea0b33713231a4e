//! One run of a stage: who runs it, and what it sees, which is the store and SQL as far as granted, with everything read and written
//! recorded.
//!
//! Within a run, an object that was bound to a table stays as it was then, even if its key is written meanwhile.

use std::{collections::BTreeMap, io::Read as _, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidemill_core::{
    Batches, Digest, Error, ErrorKind, ExportedFile, FetchResponse, Format, Host, Level, Objects, Outcome, PutResult, Result, RunContext,
    Sql, Table, Trigger, pipeline::Node, record::ReadRecord, secret::SecretRef,
};
use tidemill_run::{AccessLog, Attempt, Grants, ScopedObjects};
use tidemill_store::{BlockingStore, MAX_OBJECT_SIZE, Store};

use crate::{SqlEngine, SqlReader, fetch, parallel::parallel_map, sql};

/// Objects that are made files at once: each of a remote store is a round trip, and a window's log may have thousands.
const CONCURRENCY: usize = 16;

/// Told how far a run is: a fraction of 1, and what it is doing.
pub type ProgressFn = Arc<dyn Fn(f64, &str) + Send + Sync>;

/// The resources that a run used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Greatest linear memory, in bytes; 0 for a native stage.
    pub memory_bytes: u64,
    /// Wall-clock time inside the stage.
    pub duration: Duration,
}

/// Runs stages. Called on a thread that may block, several calls concurrently.
pub trait Runner: Send + Sync + 'static {
    /// Runs a stage once, within the node's timeout and memory. The access log is that of `host`.
    fn run(&self, node: &Node, trigger: &Trigger, host: RunHost) -> (Result<Outcome>, AccessLog, Usage);

    /// The digest of the node's component: part of its run keys.
    fn component_digest(&self, node: &Node) -> Result<Digest>;

    /// Whether its stages may use SQL; if not, no engine need be open.
    fn uses_sql(&self) -> bool {
        true
    }

    /// The component, stored as `components/<digest>` so that a run can be replayed; `None` where there is no such file.
    fn component_bytes(&self, _node: &Node) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

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

/// The host interface of one run.
#[derive(Debug)]
pub struct RunHost {
    objects: ScopedObjects<BlockingStore>,
    sql: Option<SqlEngine>,
    context: RunContext,
    progress: ProgressSink,
    /// What the host puts into the stage's requests.
    secrets: Vec<SecretRef>,
    /// Within a run, what was bound to a table stays as it was then.
    cached: Mutex<BTreeMap<String, Arc<sql::CachedFile>>>,
}

/// Told when the stage reports.
struct ProgressSink(Option<ProgressFn>);

impl std::fmt::Debug for ProgressSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "told" } else { "dropped" })
    }
}

impl RunHost {
    /// A host for one run.
    pub fn new(setup: RunSetup) -> Self {
        Self {
            objects: ScopedObjects::new(setup.store.blocking_on(setup.handle), setup.grants, setup.trigger),
            sql: Some(setup.sql.for_run()),
            context: setup.context,
            progress: ProgressSink(setup.progress),
            secrets: Vec::new(),
            cached: Mutex::default(),
        }
    }

    /// What the stage sees in an attempt: the store and SQL as far as its node was granted. Call within the tokio runtime that drives
    /// the store; the stage itself must run where blocking is allowed. A stage that handles records only needs no `sql`.
    pub fn for_attempt(attempt: &Attempt, store: Store, sql: impl Into<Option<SqlEngine>>, progress: Option<ProgressFn>) -> Self {
        let objects = store.blocking_on(tokio::runtime::Handle::current());
        Self {
            objects: ScopedObjects::new(objects, attempt.grants(), attempt.trigger().clone()).with_memory(attempt.memory_bytes()),
            sql: sql.into().map(|sql: SqlEngine| sql.for_run()),
            context: attempt.context().clone(),
            progress: ProgressSink(progress),
            secrets: attempt.node().secrets(),
            cached: Mutex::default(),
        }
    }

    /// Like [`Sql::query`], with a result that owns itself.
    pub fn reader(&self, sql: &str, tables: &[Table]) -> Result<SqlReader> {
        self.sql_engine()?.query(sql, &self.bind_tables(tables)?)
    }

    /// What the run looked at and wrote.
    pub fn finish(self) -> AccessLog {
        self.objects.finish()
    }

    fn sql_engine(&self) -> Result<&SqlEngine> {
        let missing = || Error::bug("this run has no SQL, for its stage handles records only");
        self.sql.as_ref().ok_or_else(missing)
    }

    fn bind_tables(&self, tables: &[Table]) -> Result<Vec<sql::BoundTable>> {
        let bind = |table: &Table| {
            Ok(sql::BoundTable {
                name: table.name.clone(),
                format: table.format,
                objects: self.cache_files(&table.keys, table.format)?,
            })
        };
        tables.iter().map(bind).collect()
    }

    /// The objects as files, many of them fetched at once; what is recorded does not depend on which came first.
    fn cache_files(&self, keys: &[String], format: Format) -> Result<Vec<Arc<sql::CachedFile>>> {
        keys.iter().try_for_each(|key| self.objects.check_read(key))?;
        let engine = self.sql_engine()?;
        let name = |key: &str| format!("{format:?} {key}");
        let known = || self.cached.lock();
        let new: Vec<&String> = keys.iter().filter(|key| !known().contains_key(&name(key))).collect();
        let made = parallel_map(&new, CONCURRENCY, |key| {
            engine.cache_object(self.objects.as_unrestricted(), key, format)
        });
        for (key, placed) in new.into_iter().zip(made) {
            let placed = placed.inspect_err(|error| {
                if error.kind == ErrorKind::NotFound {
                    self.objects.record_absent(key);
                }
            })?;
            self.objects.record_read(ReadRecord::Object {
                key: key.clone(),
                digest: placed.digest.clone(),
            });
            known().entry(name(key)).or_insert(placed);
        }
        let known = known();
        let placed = |key: &String| known.get(&name(key)).cloned();
        let all: Option<Vec<_>> = keys.iter().map(placed).collect();
        all.ok_or_else(|| Error::bug("an object that was placed is gone"))
    }
}

impl Host for RunHost {
    fn context(&self) -> &RunContext {
        &self.context
    }
    fn objects(&self) -> &dyn Objects {
        &self.objects
    }
    fn sql(&self) -> &dyn Sql {
        self
    }
    fn report_progress(&self, fraction: f64, message: &str) {
        if let Some(progress) = &self.progress.0 {
            progress(if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) }, message);
        }
    }
    fn log(&self, level: Level, message: &str) {
        let (resource, run) = (&self.context.resource, &self.context.run_key);
        match level {
            Level::Debug => tracing::debug!(%resource, %run, "{message}"),
            Level::Info => tracing::info!(%resource, %run, "{message}"),
            Level::Warning => tracing::warn!(%resource, %run, "{message}"),
        }
    }
    fn fetch(&self, url: &str, headers: &[(String, String)]) -> Result<FetchResponse> {
        fetch::get(self.objects.grants(), &self.secrets, url, headers)
    }
}

impl Sql for RunHost {
    fn query<'a>(&'a self, sql: &str, tables: &[Table]) -> Result<Batches<'a>> {
        Ok(Box::new(self.reader(sql, tables)?))
    }

    fn export(&self, sql: &str, tables: &[Table], key: &str) -> Result<ExportedFile> {
        self.objects.grants().check_write(key)?;
        let (file, rows) = self.sql_engine()?.export(sql, &self.bind_tables(tables)?)?;
        let bytes = read_back(&file, key)?;
        if self.objects.create(key, &bytes)? == PutResult::Conflict {
            return Err(Error::conflict(format!(
                "`{key}` exists with other content; it is written once and never changed: export under the run's key"
            )));
        }
        Ok(ExportedFile {
            rows,
            size: bytes.len() as u64,
            digest: Digest::sha256(&bytes),
        })
    }
}

/// An exported file, to be written to `key`.
fn read_back(file: &tempfile::NamedTempFile, key: &str) -> Result<Vec<u8>> {
    let failed = |e| Error::transient(format!("the rows for `{key}` could not be read back: {e}"));
    let file = file.reopen().map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > MAX_OBJECT_SIZE {
        return Err(Error::limit(format!(
            "the rows for `{key}` take {size} bytes, and an object may have {MAX_OBJECT_SIZE}; write them in parts"
        )));
    }
    let mut bytes = Vec::new();
    file.take(MAX_OBJECT_SIZE).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
