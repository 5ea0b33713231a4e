//! What one run of a stage sees: the store and SQL as far as granted, with everything read and written recorded.

use std::sync::Arc;

use tidemill_core::{
    Batches, Digest, Error, Exported, FetchResponse, Host, Level, Meta, Objects, Put, Result, RunContext, Sql, Table, Trigger,
    record::{Output, Read},
};

use crate::{SqlEngine, SqlReader, Store};

/// Patterns of keys that a stage may read and write, and the hosts that it may fetch from.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Grants {
    pub reads: Vec<String>,
    pub writes: Vec<String>,
    pub fetch: Vec<String>,
}

/// Told how far a run is: a fraction of 1, and what it is doing.
pub type ProgressFn = Arc<dyn Fn(f64, &str) + Send + Sync>;

/// What a run is made of.
#[allow(missing_docs)]
pub struct RunSetup {
    pub store: Store,
    pub sql: SqlEngine,
    pub context: RunContext,
    pub trigger: Trigger,
    pub grants: Grants,
    pub progress: Option<ProgressFn>,
    pub handle: tokio::runtime::Handle,
}

/// What a run looked at and wrote.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Recorded {
    pub reads: Vec<Read>,
    pub outputs: Vec<Output>,
}

/// The host interface of one run.
pub struct RunHost {
    setup: RunSetup,
}

impl RunHost {
    /// A host for one run.
    pub fn new(setup: RunSetup) -> Self {
        Self { setup }
    }
    /// Like [`Sql::query`], with a result that owns itself.
    pub fn reader(&self, _sql: &str, _tables: &[Table]) -> Result<SqlReader> {
        Err(later())
    }
    /// What the run looked at and wrote.
    pub fn finish(self) -> Recorded {
        Recorded::default()
    }
}

fn later() -> Error {
    Error::bug("not built yet")
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
    fn progress(&self, _fraction: f64, _message: &str) {}
    fn log(&self, _level: Level, _message: &str) {}
    fn fetch(&self, _url: &str, _headers: &[(String, String)]) -> Result<FetchResponse> {
        Err(later())
    }
}

impl Objects for RunHost {
    fn get(&self, _key: &str) -> Result<Vec<u8>> {
        Err(later())
    }
    fn get_range(&self, _key: &str, _offset: u64, _length: u64) -> Result<Vec<u8>> {
        Err(later())
    }
    fn head(&self, _key: &str) -> Result<Option<Meta>> {
        Err(later())
    }
    fn create(&self, _key: &str, _bytes: &[u8]) -> Result<Put> {
        Err(later())
    }
    fn swap(&self, _key: &str, _expected: Option<&Digest>, _bytes: &[u8]) -> Result<Put> {
        Err(later())
    }
    fn list(&self, _prefix: &str, _after: Option<&str>, _limit: u32) -> Result<Vec<Meta>> {
        Err(later())
    }
}

impl Sql for RunHost {
    fn query<'a>(&'a self, _sql: &str, _tables: &[Table]) -> Result<Batches<'a>> {
        Err(later())
    }
    fn export(&self, _sql: &str, _tables: &[Table], _key: &str) -> Result<Exported> {
        Err(later())
    }
}
