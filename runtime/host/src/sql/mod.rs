//! The SQL engine: one SELECT over granted objects, run by DuckDB, which sees the cache's folder and nothing else.
//!
//! The engine itself fetches objects, keeps the cache and checks that nothing changed; queries run in an executor: DuckDB in this process,
//! or in children of it, which memory and time end without ending anything else. What a query may be is decided where it runs: see `guard`.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use tempfile::NamedTempFile;
use tidemill_core::{Error, Format, Result, digest_json};
use tidemill_store::BlockingStore;

mod cache;
mod cache_dir;
mod child;
mod convert;
mod csv;
mod error;
mod export;
mod functions;
mod guard;
mod instances;
mod job;
mod orderless;
mod plan;
mod quotes;
mod reader;
mod session;
mod stream;
#[cfg(test)]
mod tests;
mod utf8;
mod walk;

pub(crate) use cache::CachedFile;
use cache::{Cache, CacheEntry};
use child::{Pool, Seat};
pub use child::{SQL_WORKER, SqlChildren, run_sql_worker};
pub use export::ParquetFile;
use instances::{InstanceOptions, Instances};
use job::{Executor, QueryJob, SourceFile, View};
pub use plan::{PlanError, TableShape};
pub use reader::SqlReader;

/// Options of the engine.
#[derive(Debug, Clone)]
pub struct SqlOptions {
    /// Folder for linked and copied objects and for spilled data; may be removed whenever no process uses it.
    pub cache_dir: PathBuf,
    /// Memory for queries, in bytes. In children: of all of them together, by a limit of the operating system. In this process: of each
    /// instance, as far as DuckDB counts it, which it does not for lists and texts.
    pub memory_bytes: u64,
    /// Threads for queries whose result is the same on any number of threads.
    pub threads: usize,
    /// Time limit for one query, from its start to its last row.
    pub timeout: Duration,
}

/// A locked-down DuckDB. Cheap to clone; all clones share instances and cache.
#[derive(Clone, Debug)]
pub struct SqlEngine {
    inner: Arc<Inner>,
    seat: Seat,
}

#[derive(Debug)]
struct Inner {
    place: Place,
    cache: Arc<Cache>,
}

/// Where queries run.
#[derive(Debug)]
enum Place {
    Here(Instances),
    Children(Arc<Pool>),
}

/// A table's name and its cached objects.
#[derive(Debug, Clone)]
pub(crate) struct BoundTable {
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) objects: Vec<Arc<CachedFile>>,
}

impl SqlEngine {
    /// An engine in this process: for Lambda, where a function runs one stage and may end with it, and for tests.
    pub fn new(options: SqlOptions) -> Result<Self> {
        Self::open_here(&options, || cache::DEFAULT_MAX_BYTES)
    }

    /// Like [`new`](Self::new), for a small disk that nothing else uses: cached objects, and the files derived from them, take up to half
    /// of the space that is free now; the rest is for spilled data and for files that are being written.
    pub fn on_small_disk(options: SqlOptions) -> Result<Self> {
        let folder = options.cache_dir.clone();
        Self::open_here(&options, || fs4::available_space(&folder).map_or(256 << 20, |bytes| bytes / 2))
    }

    /// An engine whose queries run in children of this process: neither memory nor time nor a crash of theirs is this process's.
    pub fn in_children(options: SqlOptions, children: SqlChildren) -> Result<Self> {
        let cache = open_cache(&options, || cache::DEFAULT_MAX_BYTES)?;
        let pool = Pool::start(&options, children, &cache)?;
        Ok(Self::over(Place::Children(pool), cache))
    }

    /// Opens the engine. Above `cache_bytes`, files of the cache that no query uses are removed.
    fn open_here(options: &SqlOptions, cache_bytes: impl FnOnce() -> u64) -> Result<Self> {
        let cache = open_cache(options, cache_bytes)?;
        let options = InstanceOptions {
            folder: cache.dir().to_owned(),
            spill: cache.dir().to_owned(),
            memory_bytes: options.memory_bytes,
            spill_bytes: options.memory_bytes * 4,
            threads: options.threads,
            timeout: options.timeout,
        };
        let instances = Instances::open(options, Some(cache.hold_dir()))?;
        Ok(Self::over(Place::Here(instances), cache))
    }

    fn over(place: Place, cache: Cache) -> Self {
        Self {
            inner: Arc::new(Inner {
                place,
                cache: Arc::new(cache),
            }),
            seat: Seat::default(),
        }
    }

    /// The same engine for another run. What one run does at once is done in one child, which only that run loses.
    pub(crate) fn for_run(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            seat: Seat::default(),
        }
    }

    fn executor(&self) -> Result<Box<dyn Executor>> {
        Ok(match &self.inner.place {
            Place::Here(instances) => Box::new(instances.clone()),
            Place::Children(pool) => Box::new(self.seat.lease(pool)?),
        })
    }

    /// Returns an object as a file that DuckDB can read.
    pub(crate) fn cache_object(&self, store: &BlockingStore, key: &str, format: Format) -> Result<Arc<CachedFile>> {
        self.inner.cache.insert(store, key, format)
    }

    /// Runs a query and streams its rows.
    pub(crate) fn query(&self, sql: &str, tables: &[BoundTable]) -> Result<SqlReader> {
        let executor = self.executor()?;
        let (job, files) = self.bind(&*executor, sql, tables)?;
        Ok(SqlReader::new(executor.query(job)?, all_objects(tables), files))
    }

    /// Runs a query on one thread and writes its rows to a Parquet file; returns the file and the number of rows.
    pub(crate) fn export(&self, sql: &str, tables: &[BoundTable]) -> Result<(NamedTempFile, u64)> {
        let executor = self.executor()?;
        let (job, _files) = self.bind(&*executor, sql, tables)?;
        let file = self.create_temporary("an export")?;
        let rows = executor.export(job, file.path())?;
        all_objects(tables).iter().try_for_each(|object| object.verify())?;
        Ok((file, rows))
    }

    /// The columns of a query's result, without running it. Refuses what a stage's query is refused for.
    ///
    /// # Errors
    /// The query's, with the place; `Config` for the query itself.
    pub fn plan(&self, sql: &str, tables: &[TableShape<'_>]) -> Result<Vec<String>, PlanError> {
        let column = |(name, kind): &(&str, &str)| ((*name).to_owned(), (*kind).to_owned());
        let tables = tables
            .iter()
            .map(|table| (table.name.to_owned(), table.columns.iter().map(column).collect()));
        self.executor()?.plan(sql, tables.collect())
    }

    /// The query with its tables as files, and what keeps those that are derived.
    fn bind(&self, executor: &dyn Executor, sql: &str, tables: &[BoundTable]) -> Result<(QueryJob, Vec<Arc<CacheEntry>>)> {
        check_names(tables)?;
        let mut job = QueryJob {
            sql: sql.to_owned(),
            views: Vec::new(),
            sources: all_objects(tables).iter().map(|object| object.source()).collect(),
        };
        let mut held = Vec::new();
        for table in tables {
            if table.objects.is_empty() {
                return Err(Error::input(format!(
                    "the table `{}` has no objects: bind at least one key to it",
                    table.name
                )));
            }
            match table.format {
                Format::Parquet => job.views.push(View {
                    name: table.name.clone(),
                    files: table.objects.iter().map(|object| object.path().to_owned()).collect(),
                }),
                Format::JsonLines => {
                    let rows = self.convert_json_lines(executor, &table.objects)?;
                    job.views.push(view(&table.name, std::slice::from_ref(&rows)));
                    held.push(rows);
                }
                Format::Csv => {
                    let converted = table.objects.iter().map(|object| self.convert_csv(executor, object));
                    let (rows, rejects): (Vec<_>, Vec<_>) = converted.collect::<Result<Vec<_>>>()?.into_iter().unzip();
                    job.views.push(view(&table.name, &rows));
                    job.views.push(view(&format!("{}__rejects", table.name), &rejects));
                    held.extend(rows.into_iter().chain(rejects));
                }
            }
        }
        Ok((job, held))
    }

    /// Returns the rows of a CSV, and its rejects: once per content, however many queries read it.
    fn convert_csv(&self, executor: &dyn Executor, object: &Arc<CachedFile>) -> Result<(Arc<CacheEntry>, Arc<CacheEntry>)> {
        let name = |what: &str| format!("{}.csv.{what}.parquet", object.digest);
        let (rows, rejects) = (name("rows"), name("rejects"));
        let cache = &self.inner.cache;
        if let (Some(rows), Some(rejects)) = (cache.get(&rows), cache.get(&rejects)) {
            return Ok((rows, rejects));
        }
        let (new_rows, new_rejects) = (self.create_temporary(&object.key)?, self.create_temporary(&object.key)?);
        executor.convert_csv(&object.source(), new_rows.path(), new_rejects.path())?;
        object.verify()?;
        Ok((
            cache.insert_derived(&object.key, new_rows, &rows)?,
            cache.insert_derived(&object.key, new_rejects, &rejects)?,
        ))
    }

    /// Returns the rows of JSON lines.
    fn convert_json_lines(&self, executor: &dyn Executor, objects: &[Arc<CachedFile>]) -> Result<Arc<CacheEntry>> {
        if let Some(empty) = objects.iter().find(|object| object.size() == 0) {
            return Err(Error::input(format!(
                "`{}` is empty: JSON lines need at least one object",
                empty.key
            )));
        }
        let digests: Vec<&str> = objects.iter().map(|object| object.digest.as_str()).collect();
        let name = format!("{}.jsonl.rows.parquet", digest_json(&digests));
        if let Some(rows) = self.inner.cache.get(&name) {
            return Ok(rows);
        }
        let key = objects.first().map_or("an object", |object| &object.key);
        let rows = self.create_temporary(key)?;
        let sources: Vec<SourceFile> = objects.iter().map(|object| object.source()).collect();
        executor.convert_json_lines(&sources, rows.path())?;
        objects.iter().try_for_each(|object| object.verify())?;
        self.inner.cache.insert_derived(key, rows, &name)
    }

    fn create_temporary(&self, what: &str) -> Result<NamedTempFile> {
        let cache = &self.inner.cache;
        cache.create_temporary().map_err(|e| cache.io_error(what, &e))
    }
}

fn open_cache(options: &SqlOptions, cache_bytes: impl FnOnce() -> u64) -> Result<Cache> {
    let folder = std::path::absolute(&options.cache_dir)
        .map_err(|e| Error::config(format!("`{}` cannot be the cache's folder: {e}", options.cache_dir.display())))?;
    Cache::open(&folder, cache_bytes)
}

/// Refuses names that SQL cannot have, and names that stand for two tables.
fn check_names(tables: &[BoundTable]) -> Result<()> {
    let mut names = BTreeSet::new();
    for table in tables {
        let lower = table.name.to_lowercase();
        let is_word = !lower.is_empty() && lower.chars().all(|c| c.is_alphanumeric() || "_-$".contains(c));
        if !is_word || !names.insert(lower) {
            return Err(Error::config(format!(
                "`{}` cannot be the name of a table: use letters, digits and `_`, each name once",
                table.name
            )));
        }
        if table.format == Format::Csv {
            names.insert(format!("{}__rejects", table.name.to_lowercase()));
        }
    }
    Ok(())
}

fn view(name: &str, files: &[Arc<CacheEntry>]) -> View {
    View {
        name: name.to_owned(),
        files: files.iter().map(|file| file.path.clone()).collect(),
    }
}

fn all_objects(tables: &[BoundTable]) -> Vec<Arc<CachedFile>> {
    tables.iter().flat_map(|table| table.objects.iter().map(Arc::clone)).collect()
}
