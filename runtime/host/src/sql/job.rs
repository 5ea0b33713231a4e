//! What an executor is asked to do: files and names alone, so that it can be another process.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidemill_core::Result;

use super::plan::PlanError;

/// An object as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SourceFile {
    /// The object's key, for messages.
    pub(super) key: String,
    pub(super) path: PathBuf,
}

/// A table of a query: the rows of Parquet files, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct View {
    pub(super) name: String,
    pub(super) files: Vec<PathBuf>,
}

/// A query over files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct QueryJob {
    pub(super) sql: String,
    pub(super) views: Vec<View>,
    /// The objects behind the views.
    pub(super) sources: Vec<SourceFile>,
}

/// A table without rows: its name, and the names and types of its columns.
pub(super) type EmptyTable = (String, Vec<(String, String)>);

/// The rows of a query, as Arrow IPC streams.
pub(super) type RowStream = Box<dyn Iterator<Item = Result<Vec<u8>>> + Send>;

/// Runs SQL, in this process or in another. Each method holds the time limit of a query.
pub(super) trait Executor {
    /// Runs a query. Errors at its start are returned here.
    fn query(&self, job: QueryJob) -> Result<RowStream>;

    /// Runs a query on one thread and writes its rows to a Parquet file; returns their number.
    fn export(&self, job: QueryJob, to: &Path) -> Result<u64>;

    /// The columns of a query's result.
    fn plan(&self, sql: &str, tables: Vec<EmptyTable>) -> Result<Vec<String>, PlanError>;

    /// Writes the rows of a CSV, and its rejects, to Parquet files.
    fn convert_csv(&self, source: &SourceFile, rows: &Path, rejects: &Path) -> Result<()>;

    /// Writes the rows of JSON lines to a Parquet file.
    fn convert_json_lines(&self, sources: &[SourceFile], rows: &Path) -> Result<()>;
}
