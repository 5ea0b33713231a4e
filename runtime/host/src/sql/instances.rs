//! DuckDB in this process: two instances, one with one thread and one with many. A query runs on the second only if its rows are certainly
//! the same there: sums of doubles, joins and ties depend on how threads divide the work, and hashed results must not.
//!
//! A setting belongs to a connection or to the instance; `SET GLOBAL` holds for every connection that is opened later.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use duckdb::{Config, Connection};
use parking_lot::Mutex;
use tidemill_core::{
    Digest, Error, Result, digest_json,
    sql::{quote_identifier, quote_string},
};

use super::{
    cache_dir::CacheDir,
    error,
    export::ParquetFile,
    functions,
    guard::{self, Catalog, QueryShape},
    job::{EmptyTable, Executor, QueryJob, RowStream, SourceFile, View},
    plan::{self, PlanError},
    session::{Session, Watchdog},
    stream::{self, QueryStream},
};

/// Stack of a thread that parses, plans and runs: an expression of 1000 levels, the most that DuckDB takes, needs 2 MiB in DuckDB and some
/// in the guard.
pub(super) const STACK_SIZE: usize = 32 << 20;

/// Settings of the instances.
#[derive(Debug, Clone)]
pub(super) struct InstanceOptions {
    /// The folder that they see, and nothing else.
    pub(super) folder: PathBuf,
    /// Where they put data that does not fit their memory.
    pub(super) spill: PathBuf,
    /// Memory of each that DuckDB counts.
    pub(super) memory_bytes: u64,
    /// Disk for data that does not fit.
    pub(super) spill_bytes: u64,
    /// Threads for queries whose result is the same on any number of threads.
    pub(super) threads: usize,
    /// Time limit for one query, from its start to its last row.
    pub(super) timeout: Duration,
}

/// The instances. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Instances {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: InstanceOptions,
    serial: Mutex<Connection>,
    /// Opened by the first query that may run on it.
    parallel: OnceLock<Mutex<Connection>>,
    catalog: Catalog,
    /// Results of query checks, by text and tables: a stage repeats its queries.
    checked: Mutex<HashMap<Digest, QueryShape>>,
    /// Kept while a query runs, which may outlive its engine.
    dir: Option<Arc<CacheDir>>,
}

impl Instances {
    /// Opens the instances and locks them.
    pub(super) fn open(options: InstanceOptions, dir: Option<Arc<CacheDir>>) -> Result<Self> {
        let serial = open_instance(&options, "serial", 1)?;
        let catalog = Catalog::read(&serial)?;
        Ok(Self {
            inner: Arc::new(Inner {
                options,
                serial: Mutex::new(serial),
                parallel: OnceLock::new(),
                catalog,
                checked: Mutex::default(),
                dir,
            }),
        })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.inner.options.timeout
    }

    /// Whether all threads together may take so much memory each.
    pub(super) fn has_memory_for_each_thread(&self, bytes: u64) -> bool {
        let options = &self.inner.options;
        options.memory_bytes / bytes >= options.threads as u64
    }

    /// A connection of its own, to the instance with many threads if that is allowed.
    pub(super) fn session(&self, is_orderless: bool) -> Result<Session> {
        let inner = &self.inner;
        let instance = match (is_orderless, inner.parallel.get()) {
            (false, _) => &inner.serial,
            (true, Some(parallel)) => parallel,
            (true, None) => {
                let opened = Mutex::new(open_instance(&inner.options, "parallel", inner.options.threads.max(1))?);
                inner.parallel.get_or_init(|| opened)
            }
        };
        Session::open(instance, inner.dir.clone())
    }

    /// Opens a connection with the tables of a query that passes the guard.
    fn prepare(&self, job: &QueryJob, may_be_parallel: bool) -> Result<Session> {
        let names = job.views.iter().map(|view| view.name.to_lowercase()).collect();
        let shape = self.check(&job.sql, &names)?;
        let session = self.session(may_be_parallel && shape.is_orderless)?;
        for view in &job.views {
            session
                .execute_batch(&create_view(view))
                .map_err(|e| error::from_duckdb(&e, &job.sources))?;
        }
        Ok(session)
    }

    fn check(&self, sql: &str, names: &BTreeSet<String>) -> Result<QueryShape> {
        let id = digest_json(&(sql, names));
        let known = self.inner.checked.lock().get(&id).copied();
        if let Some(shape) = known {
            return Ok(shape);
        }
        let session = self.session(false)?;
        let shape = guard::check(&session, sql, names, &self.inner.catalog).map_err(|violation| violation.into_error(sql))?;
        let mut checked = self.inner.checked.lock();
        if checked.len() >= 1000 {
            checked.clear();
        }
        checked.insert(id, shape);
        Ok(shape)
    }

    /// Starts a query. Errors at its start are returned here.
    pub(super) fn start(&self, job: QueryJob) -> Result<QueryStream> {
        let deadline = Instant::now() + self.timeout();
        let session = on_deep_stack(|| self.prepare(&job, true))?;
        QueryStream::start(session, job, deadline, self.timeout())
    }

    fn export_rows(&self, job: &QueryJob, to: &Path) -> Result<u64> {
        let session = self.prepare(job, false)?;
        let create = || {
            std::fs::File::create(to)
                .map_err(|e| Error::transient(format!("the result of a query cannot be written to `{}`: {e}", to.display())))
        };
        let mut writer = None;
        let watch = Watchdog::start(&session, self.timeout())?;
        let written = stream::run(&session, &job.sql, &job.sources, |schema, batch| {
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(ParquetFile::new(create()?, schema)?),
            };
            writer.push(batch).map(|()| true)
        });
        let schema = watch.explain(written)?;
        match writer {
            Some(writer) => writer.finish(),
            None => ParquetFile::new(create()?, &schema)?.finish(),
        }
    }
}

impl Executor for Instances {
    fn query(&self, job: QueryJob) -> Result<RowStream> {
        Ok(Box::new(self.start(job)?))
    }

    fn export(&self, job: QueryJob, to: &Path) -> Result<u64> {
        on_deep_stack(|| self.export_rows(&job, to))
    }

    fn plan(&self, sql: &str, tables: Vec<EmptyTable>) -> Result<Vec<String>, PlanError> {
        on_deep_stack(|| Ok(plan::plan(&self.session(false)?, sql, &tables, &self.inner.catalog)))?
    }

    fn convert_csv(&self, source: &SourceFile, rows: &Path, rejects: &Path) -> Result<()> {
        self.copy_csv(source, rows, rejects)
    }

    fn convert_json_lines(&self, sources: &[SourceFile], rows: &Path) -> Result<()> {
        self.copy_json_lines(sources, rows)
    }
}

/// Calls `work` on a thread with a stack of [`STACK_SIZE`].
fn on_deep_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("sql".into()).stack_size(STACK_SIZE);
        let thread = builder
            .spawn_scoped(scope, work)
            .map_err(|e| Error::transient(format!("no thread could be started for a query: {e}")))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(Error::bug("the thread of a query ended without a result")))
    })
}

/// Opens an instance that can see its folder and can never be unlocked.
fn open_instance(options: &InstanceOptions, name: &str, threads: usize) -> Result<Connection> {
    let failed = |e: duckdb::Error| Error::bug(format!("DuckDB could not be opened: {e}"));
    let config = Config::default()
        .with("autoinstall_known_extensions", "false")
        .and_then(|config| config.with("autoload_known_extensions", "false"))
        .and_then(|config| config.with("threads", threads.to_string()))
        .map_err(failed)?;
    let connection = Connection::open_in_memory_with_flags(config).map_err(failed)?;
    let settings = [
        ("memory_limit", format!("'{} MiB'", (options.memory_bytes >> 20).max(64))),
        ("temp_directory", quote_string(&options.spill.join(name).to_string_lossy())),
        ("max_temp_directory_size", format!("'{} MiB'", (options.spill_bytes >> 20).max(256))),
        ("preserve_insertion_order", "true".into()),
        ("TimeZone", "'UTC'".into()),
        ("parquet_metadata_cache", "true".into()),
        ("allow_community_extensions", "false".into()),
        ("allow_persistent_secrets", "false".into()),
        ("errors_as_json", "false".into()),
        (
            "allowed_directories",
            format!("[{}]", quote_string(&format!("{}/", options.folder.to_string_lossy()))),
        ),
        ("enable_external_access", "false".into()),
        ("lock_configuration", "true".into()),
    ];
    let settings: String = settings
        .iter()
        .map(|(name, value)| format!("SET GLOBAL {name} = {value};"))
        .collect();
    connection
        .execute_batch(&format!("{}{settings}", functions::shadow_calls()))
        .map_err(failed)?;
    Ok(connection)
}

/// Creates a table as a view that only its connection sees.
fn create_view(view: &View) -> String {
    let union = if view.files.len() > 1 { ", union_by_name = true" } else { "" };
    format!(
        "CREATE TEMP VIEW {} AS SELECT * FROM read_parquet([{}], hive_partitioning = false{union})",
        quote_identifier(&view.name),
        path_list(view.files.iter().map(PathBuf::as_path))
    )
}

/// Paths as a list of SQL texts.
pub(super) fn path_list<'a>(paths: impl Iterator<Item = &'a Path>) -> String {
    let quoted: Vec<String> = paths.map(|path| quote_string(&path.to_string_lossy())).collect();
    quoted.join(", ")
}
