//! The log with a local disk: a request is acknowledged when its rows are on the disk. Concurrent requests share the fsyncs of a
//! write-ahead file; files that are closed become segments in the store.

mod sealer;
#[cfg(test)]
mod tests;
mod thread_scheduling;
mod wal;
mod writer;

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use fs4::fs_std::FileExt;
use jiff::Timestamp;
use parking_lot::Mutex;
use tidemill_core::{
    Error, Result,
    pipeline::deployment::{LOG_SEAL_SECONDS, LoggedModel},
};
use tidemill_store::Store;
use tokio::sync::oneshot;

use self::writer::{CommitQueue, PendingAppend};
use crate::{Record, window_limits::check_windows};

/// When a write-ahead file is closed and sealed.
#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// After this many rows.
    pub seal_rows: usize,
    /// Or this long after its first row.
    pub seal_age: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            seal_rows: 50_000,
            seal_age: Duration::from_secs(LOG_SEAL_SECONDS),
        }
    }
}

/// The log of one process. Cheap to clone.
///
/// Dropping the last clone stops its threads. Rows that are not in the store by then are sealed when the folder is opened again.
#[derive(Clone)]
pub struct DurableLog {
    shared: Arc<Shared>,
}

/// The acknowledgement of rows that were handed over.
#[derive(Debug)]
#[must_use = "rows are acknowledged only by the receipt"]
pub struct Receipt {
    answer: Option<oneshot::Receiver<Result<()>>>,
    closed_rows: usize,
}

impl Receipt {
    /// Rows among them whose window is closed: they are logged, and no report counts them.
    pub fn closed_rows(&self) -> usize {
        self.closed_rows
    }

    /// Returns when the rows are on the disk.
    ///
    /// # Errors
    /// `Transient` if they cannot be written.
    pub async fn wait(self) -> Result<()> {
        match self.answer {
            Some(answer) => answer.await.map_err(|_| closed_error())?,
            None => Ok(()),
        }
    }
}

struct Shared {
    models: sealer::Models,
    /// When the first open window of each model begins, as far as it is known.
    open_from: Mutex<BTreeMap<String, Timestamp>>,
    queue: Arc<CommitQueue>,
    sealer: mpsc::Sender<sealer::Command>,
    /// Held as long as the log is open.
    _lock: File,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The file that is being written, shared by both threads so that it is not sealed.
type ActiveFile = Arc<Mutex<Option<PathBuf>>>;

impl DurableLog {
    /// Opens the log in `folder`, cuts off torn tails, and starts to seal the files of an earlier process.
    ///
    /// `models` says how each model's rows are cut into windows; rows of other models are cut by the day of serving. Call this inside a
    /// tokio runtime.
    ///
    /// # Errors
    /// `Config` if another process has the folder open, `Transient` if it cannot be written.
    pub fn open(folder: &Path, store: Store, models: BTreeMap<String, LoggedModel>, options: LogOptions) -> Result<Self> {
        let handle =
            tokio::runtime::Handle::try_current().map_err(|_| Error::bug("the prediction log must be opened inside a tokio runtime"))?;
        let io_error = |e: std::io::Error| write_error(folder, &e);
        std::fs::create_dir_all(folder).map_err(io_error)?;
        let lock = lock_folder(folder)?;
        for path in sealer::list_files(folder).map_err(io_error)? {
            sealer::prepare_file(&path);
        }
        let active = ActiveFile::default();
        let models = Arc::new(Mutex::new(Arc::new(models)));
        let sealer = sealer::start(folder.to_owned(), active.clone(), store, models.clone(), handle);
        let queue = writer::start(folder.to_owned(), active, options, sealer.clone());
        let _started = sealer.send(sealer::Command { reply: None });
        let shared = Shared {
            models,
            open_from: Mutex::default(),
            queue,
            sealer,
            _lock: lock,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Cuts rows into other windows from now on, also those that are not sealed yet: [`seal`](Self::seal) them before.
    pub fn set_models(&self, models: BTreeMap<String, LoggedModel>) {
        *self.shared.models.lock() = Arc::new(models);
    }

    /// Notes that the window of a model that starts at `start` is closed, and with it those before.
    pub fn set_closed(&self, model: &str, start: Timestamp) {
        if let Some(config) = self.shared.models.lock().get(model) {
            let end = config.window.next_window(start);
            let mut open_from = self.shared.open_from.lock();
            let known = open_from.entry(model.to_owned()).or_insert(end);
            *known = end.max(*known);
        }
    }

    /// Appends a request's rows, and returns when they are on the disk.
    ///
    /// # Errors
    /// `Transient` if they cannot be written: nothing was acknowledged, and a later append may work.
    pub async fn append(&self, record: Record) -> Result<()> {
        self.enqueue(record)?.wait().await
    }

    /// Hands a request's rows over, to be written together with those of others. They are acknowledged by [`Receipt::wait`] alone.
    ///
    /// # Errors
    /// `Limit` if the record is larger than the log takes, `Input` if its rows are in too many windows, or in the future.
    pub fn enqueue(&self, mut record: Record) -> Result<Receipt> {
        let rows = record.rows();
        if rows == 0 {
            return Ok(Receipt {
                answer: None,
                closed_rows: 0,
            });
        }
        let size = record.as_bytes().len();
        if size > wal::MAX_RECORD_SIZE {
            return Err(Error::limit(format!(
                "the predictions of one request take {} MiB in the log, and {} MiB is the most: send fewer rows a request",
                size >> 20,
                wal::MAX_RECORD_SIZE >> 20
            )));
        }
        let now = Timestamp::now();
        record.set_served_at(now.as_microsecond());
        let open_from = self.shared.open_from.lock().get(record.model()).copied();
        let models = self.shared.models.lock().clone();
        let closed_rows = check_windows(&record, &models, now, open_from)?;
        let (reply, answer) = oneshot::channel();
        let record = record.into_bytes();
        self.shared.queue.enqueue(PendingAppend { record, rows, reply });
        Ok(Receipt {
            answer: Some(answer),
            closed_rows,
        })
    }

    /// Seals everything that was acknowledged so far: the rows of all models, because they share files.
    ///
    /// # Errors
    /// `Transient` if the store refuses. Nothing is lost then, and sealing can be asked for again.
    pub async fn seal(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.shared.queue.request_close(reply);
        answer.await.map_err(|_| closed_error())?;
        let (reply, answer) = oneshot::channel();
        let command = sealer::Command { reply: Some(reply) };
        self.shared.sealer.send(command).map_err(|_| closed_error())?;
        answer.await.map_err(|_| closed_error())?
    }
}

fn closed_error() -> Error {
    Error::transient("the prediction log is closed")
}

fn write_error(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::transient(format!(
        "the prediction log cannot write `{}`: {error}; predictions are refused until it can",
        path.display()
    ))
}

fn lock_folder(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|e| write_error(&path, &e))?;
    match FileExt::try_lock_exclusive(&file) {
        Ok(true) => Ok(file),
        Ok(false) => Err(Error::config(format!(
            "the prediction log `{}` is open in another process: stop it, or give this one a folder of its own (`--state`)",
            folder.display()
        ))),
        Err(e) => Err(write_error(&path, &e)),
    }
}
