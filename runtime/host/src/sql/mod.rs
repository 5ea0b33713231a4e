//! The SQL engine: one SELECT over granted objects, run by DuckDB, which sees the cache's folder and nothing else.
//!
//! Two instances are open, one with one thread and one with many. A query runs on the second only if its rows are certainly the same there:
//! sums of doubles, joins and ties depend on how threads divide the work, and hashed results must not.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use duckdb::{Config, Connection};
use parking_lot::Mutex;
use tempfile::NamedTempFile;
use tidemill_core::{
    Digest, Error, Format, Result, digest_json,
    sql::{quote_identifier, quote_string},
};
use tidemill_store::BlockingStore;

mod cache;
mod cache_dir;
mod convert;
mod csv;
mod error;
mod export;
mod guard;
mod numbered;
mod plan;
mod quotes;
mod reader;
mod session;
#[cfg(test)]
mod tests;
mod utf8;

use cache::Cache;
pub(crate) use cache::CachedFile;
pub use export::ParquetFile;
pub use plan::{PlanError, TableShape};
pub use reader::SqlReader;
use session::Session;

/// Options of the engine.
#[derive(Debug, Clone)]
pub struct SqlOptions {
    /// Folder for linked and copied objects and for spilled data; may be removed whenever no process uses it.
    pub cache_dir: PathBuf,
    /// Memory for all concurrent queries, in bytes.
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
}

#[derive(Debug)]
struct Inner {
    serial: Mutex<Connection>,
    parallel: Mutex<Connection>,
    aggregates: BTreeSet<String>,
    // Results of query checks, by text and tables: a stage repeats its queries.
    checked: Mutex<HashMap<Digest, guard::QueryShape>>,
    timeout: Duration,
    cache: Cache,
}

/// A table's name and its cached objects.
#[derive(Debug, Clone)]
pub(crate) struct BoundTable {
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) objects: Vec<Arc<CachedFile>>,
}

impl SqlEngine {
    /// Opens the instances and locks them.
    pub fn new(options: SqlOptions) -> Result<Self> {
        Self::open(options, || cache::DEFAULT_MAX_BYTES)
    }

    /// Like [`new`](Self::new), for a small disk that nothing else uses: cached objects, and the files derived from them, take up to half
    /// of the space that is free now; the rest is for spilled data and for files that are being written.
    pub fn on_small_disk(options: SqlOptions) -> Result<Self> {
        let folder = options.cache_dir.clone();
        Self::open(options, || fs4::available_space(&folder).map_or(256 << 20, |bytes| bytes / 2))
    }

    /// Opens the engine. Above `cache_bytes`, files of the cache that no query uses are removed.
    fn open(options: SqlOptions, cache_bytes: impl FnOnce() -> u64) -> Result<Self> {
        let folder = std::path::absolute(&options.cache_dir)
            .map_err(|e| Error::config(format!("`{}` cannot be the cache's folder: {e}", options.cache_dir.display())))?;
        let cache = Cache::open(&folder, cache_bytes)?;
        let serial = open_instance(&options, &cache, "serial", 1)?;
        let parallel = open_instance(&options, &cache, "parallel", options.threads.max(1))?;
        let aggregates = list_aggregates(&serial)?;
        Ok(Self {
            inner: Arc::new(Inner {
                serial: Mutex::new(serial),
                parallel: Mutex::new(parallel),
                aggregates,
                checked: Mutex::default(),
                timeout: options.timeout,
                cache,
            }),
        })
    }

    /// Returns an object as a file that DuckDB can read.
    pub(crate) fn cache_object(&self, store: &BlockingStore, key: &str, format: Format) -> Result<Arc<CachedFile>> {
        self.inner.cache.insert(store, key, format)
    }

    /// Runs a query and streams its rows.
    pub(crate) fn query(&self, sql: &str, tables: &[BoundTable]) -> Result<SqlReader> {
        let deadline = Instant::now() + self.inner.timeout;
        let shape = self.check(sql, tables)?;
        let mut session = self.session(shape.is_orderless)?;
        self.bind(&mut session, sql, tables)?;
        SqlReader::start(session, sql.to_owned(), all_files(tables), deadline, self.inner.timeout)
    }

    fn session(&self, is_orderless: bool) -> Result<Session> {
        let instance = if is_orderless { &self.inner.parallel } else { &self.inner.serial };
        Session::open(instance, &self.inner.cache)
    }

    /// Runs a query on one thread and writes its rows to a Parquet file; returns the file and the number of rows.
    pub(crate) fn export(&self, sql: &str, tables: &[BoundTable]) -> Result<(NamedTempFile, u64)> {
        self.check(sql, tables)?;
        let mut session = self.session(false)?;
        self.bind(&mut session, sql, tables)?;
        let file = self
            .inner
            .cache
            .create_temporary()
            .map_err(|e| self.inner.cache.io_error("an export", &e))?;
        let mut writer = None;
        let watch = Watchdog::start(&session, self.inner.timeout)?;
        let written = reader::run(&session, sql, &all_files(tables), |schema, batch| {
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(ParquetFile::new(self.reopen(&file)?, schema)?),
            };
            writer.push(batch).map(|()| true)
        });
        let schema = match written {
            Err(_) if watch.has_fired() => return Err(reader::timeout_error(self.inner.timeout)),
            other => other?,
        };
        let writer = match writer {
            Some(writer) => writer,
            None => ParquetFile::new(self.reopen(&file)?, &schema)?,
        };
        let rows = writer.finish()?;
        Ok((file, rows))
    }

    fn reopen(&self, file: &NamedTempFile) -> Result<std::fs::File> {
        file.as_file().try_clone().map_err(|e| self.inner.cache.io_error("an export", &e))
    }

    fn check(&self, sql: &str, tables: &[BoundTable]) -> Result<guard::QueryShape> {
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
            match table.format {
                Format::Csv => _ = names.insert(format!("{}__rejects", table.name.to_lowercase())),
                Format::Parquet => _ = names.insert(numbered::name(&table.name).to_lowercase()),
                Format::JsonLines => {}
            }
        }
        let id = digest_json(&(sql, &names));
        let known = self.inner.checked.lock().get(&id).copied();
        if let Some(shape) = known {
            return Ok(shape);
        }
        let session = self.session(false)?;
        let shape = guard::check(&session, sql, &names, &self.inner.aggregates)?;
        let mut checked = self.inner.checked.lock();
        if checked.len() >= 1000 {
            checked.clear();
        }
        checked.insert(id, shape);
        Ok(shape)
    }

    /// Creates the tables as views that only this connection sees.
    fn bind(&self, session: &mut Session, sql: &str, tables: &[BoundTable]) -> Result<()> {
        for table in tables {
            if table.objects.is_empty() {
                return Err(Error::input(format!(
                    "the table `{}` has no objects: bind at least one key to it",
                    table.name
                )));
            }
            let run = |session: &Session, view: &str, paths: &[&Path]| {
                let sql = format!("CREATE TEMP VIEW {} AS {}", quote_identifier(view), select_parquet("*", paths));
                session.execute_batch(&sql).map_err(|e| error::from_duckdb(&e, &table.objects))
            };
            match table.format {
                Format::Parquet if numbered::is_named(sql, &table.name) => numbered::bind(session, sql, table)?,
                Format::Parquet => run(session, &table.name, &paths(&table.objects))?,
                Format::JsonLines => {
                    let rows = self.convert_json_lines(&table.objects)?;
                    run(session, &table.name, &[&rows.path])?;
                    session.files.push(rows);
                }
                Format::Csv => {
                    let converted = table
                        .objects
                        .iter()
                        .map(|placed| self.convert_csv(placed))
                        .collect::<Result<Vec<_>>>()?;
                    let (rows, rejects): (Vec<_>, Vec<_>) = converted.into_iter().unzip();
                    for (view, files) in [(table.name.clone(), rows), (format!("{}__rejects", table.name), rejects)] {
                        run(session, &view, &files.iter().map(|file| file.path.as_path()).collect::<Vec<_>>())?;
                        session.files.extend(files);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Interrupts a connection after a timeout, unless it is dropped before.
struct Watchdog {
    fired: Arc<std::sync::atomic::AtomicBool>,
    _stop: std::sync::mpsc::Sender<()>,
}

impl Watchdog {
    fn start(session: &Session, timeout: Duration) -> Result<Self> {
        let (stop, stopped) = std::sync::mpsc::channel();
        let fired = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (interrupt, flag) = (session.interrupt(), Arc::clone(&fired));
        std::thread::Builder::new()
            .name("sql-watch".into())
            .spawn(move || {
                if stopped.recv_timeout(timeout) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    flag.store(true, std::sync::atomic::Ordering::SeqCst);
                    interrupt.fire();
                }
            })
            .map_err(|e| Error::transient(format!("no thread could be started for a query: {e}")))?;
        Ok(Self { fired, _stop: stop })
    }

    fn has_fired(&self) -> bool {
        self.fired.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// Opens an instance that can see the cache and can never be unlocked.
fn open_instance(options: &SqlOptions, cache: &Cache, spill: &str, threads: usize) -> Result<Connection> {
    let failed = |e: duckdb::Error| Error::bug(format!("DuckDB could not be opened: {e}"));
    let config = Config::default()
        .with("autoinstall_known_extensions", "false")
        .and_then(|config| config.with("autoload_known_extensions", "false"))
        .and_then(|config| config.with("threads", threads.to_string()))
        .map_err(failed)?;
    let connection = Connection::open_in_memory_with_flags(config).map_err(failed)?;
    connection
        .execute_batch(&format!(
            "SET memory_limit = '{} MiB'; SET temp_directory = {}; SET max_temp_directory_size = '{} MiB';
             SET preserve_insertion_order = true; SET TimeZone = 'UTC'; SET parquet_metadata_cache = true;
             SET allow_community_extensions = false; SET allow_persistent_secrets = false; SET errors_as_json = false;
             SET allowed_directories = [{}]; SET enable_external_access = false; SET lock_configuration = true",
            (options.memory_bytes >> 20).max(64),
            quote_string(&cache.dir().join(spill).to_string_lossy()),
            (options.memory_bytes >> 18).max(256),
            quote_string(&format!("{}/", cache.dir().to_string_lossy())),
        ))
        .map_err(failed)?;
    Ok(connection)
}

fn list_aggregates(connection: &Connection) -> Result<BTreeSet<String>> {
    let failed = |e: duckdb::Error| Error::bug(format!("DuckDB does not tell its functions: {e}"));
    let mut statement = connection
        .prepare("SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE function_type = 'aggregate'")
        .map_err(failed)?;
    let names = statement.query_map([], |row| row.get(0)).map_err(failed)?;
    names.collect::<duckdb::Result<_>>().map_err(failed)
}

fn all_files(tables: &[BoundTable]) -> Vec<Arc<CachedFile>> {
    tables.iter().flat_map(|table| table.objects.iter().map(Arc::clone)).collect()
}

fn paths(objects: &[Arc<CachedFile>]) -> Vec<&Path> {
    objects.iter().map(|placed| placed.path()).collect()
}

fn path_list(paths: &[&Path]) -> String {
    paths
        .iter()
        .map(|path| quote_string(&path.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(", ")
}

fn select_parquet(columns: &str, paths: &[&Path]) -> String {
    let union = if paths.len() > 1 { ", union_by_name = true" } else { "" };
    format!("SELECT {columns} FROM read_parquet([{}]{union})", path_list(paths))
}
