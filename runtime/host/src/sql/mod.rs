//! One SELECT over granted objects, run by DuckDB.

use std::{path::PathBuf, time::Duration};

use tidemill_core::{Error, Result};

/// How the engine runs.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct SqlOptions {
    pub cache_dir: PathBuf,
    pub memory_bytes: u64,
    pub threads: usize,
    pub timeout: Duration,
}

/// DuckDB, locked down. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SqlEngine {}

impl SqlEngine {
    /// Opens it.
    pub fn new(_options: SqlOptions) -> Result<Self> {
        Ok(Self {})
    }
}

/// A result: Arrow IPC streams, in order. Owned, so that it can be kept beside its host.
#[derive(Debug)]
pub struct SqlReader {}

impl Iterator for SqlReader {
    type Item = Result<Vec<u8>>;
    fn next(&mut self) -> Option<Self::Item> {
        Some(Err(Error::bug("not built yet")))
    }
}
