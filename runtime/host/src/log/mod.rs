//! The prediction log: acknowledged means on the disk. Requests append to a write-ahead file and share its fsyncs; closed
//! files become Parquet in the store. Where no disk outlives the process, [`DirectLog`] writes each request's rows to the
//! store itself. An id may stand in the log twice (a client asked again): readers take each id once.

mod commit_queue;
mod sealer;
mod thread_scheduling;
mod wal;
mod writer;

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use fs4::fs_std::FileExt;
use tidemill_core::{Error, Result};
use tidemill_store::log::{build_segments, unique_name};
use tokio::sync::oneshot;

pub use tidemill_store::log::{Batch, DirectLog, LoggedModel, ServingConfig, Values, WindowSummary, summarize_window};

use self::commit_queue::{CommitQueue, PendingAppend};
use crate::Store;

/// When a write-ahead file becomes Parquet.
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
            seal_age: Duration::from_secs(30),
        }
    }
}

/// The log of one process. Cheap to clone; dropping the last clone stops its threads, and what is not yet Parquet becomes it
/// at the next opening.
#[derive(Clone)]
pub struct DurableLog {
    shared: Arc<Shared>,
}

/// For rows that were handed over.
#[derive(Debug)]
#[must_use = "rows are kept only when the receipt says so"]
pub struct Receipt(Option<oneshot::Receiver<Result<()>>>);

impl Receipt {
    /// Returns when the rows are on the disk, or cannot be (`Transient`).
    pub async fn wait(self) -> Result<()> {
        match self.0 {
            Some(answer) => answer.await.map_err(|_| closed_error())?,
            None => Ok(()),
        }
    }
}

struct Shared {
    models: BTreeMap<String, LoggedModel>,
    writer: Arc<CommitQueue>,
    sealer: mpsc::Sender<sealer::Command>,
    /// Held as long as the log is open.
    _lock: File,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.writer.close();
    }
}

/// The file that is being written, known to both threads so that it is not sealed.
type ActiveFile = Arc<Mutex<Option<PathBuf>>>;

impl DurableLog {
    /// Opens the log over the folder `folder`, cuts torn tails off, and begins to turn what an earlier process left into Parquet.
    /// `models` says how each model's rows are cut (by days of serving where it says nothing). Must be called inside a tokio runtime.
    /// `Config` if another process has the folder open, `Transient` if it cannot be written.
    pub fn open(folder: &Path, store: Store, models: BTreeMap<String, LoggedModel>, options: LogOptions) -> Result<Self> {
        let handle =
            tokio::runtime::Handle::try_current().map_err(|_| Error::bug("the prediction log must be opened inside a tokio runtime"))?;
        let io = |e: std::io::Error| write_error(folder, &e);
        std::fs::create_dir_all(folder).map_err(io)?;
        let lock = lock_folder(folder)?;
        for path in sealer::list_files(folder).map_err(io)? {
            wal::truncate_torn_tail(&path).map_err(io)?;
        }
        let windows = models.iter().map(|(name, model)| (name.clone(), model.window)).collect();
        let active = ActiveFile::default();
        let sealer = sealer::start(folder.to_owned(), active.clone(), store, windows, handle);
        let writer = writer::start(folder.to_owned(), active, options, sealer.clone());
        let _started = sealer.send(sealer::Command { reply: None });
        let shared = Shared {
            models,
            writer,
            sealer,
            _lock: lock,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns when the rows are on the disk. `Transient` if they cannot be: then nothing was acknowledged, and later appends
    /// may work again.
    pub async fn append(&self, batch: Batch) -> Result<()> {
        self.enqueue(batch)?.wait().await
    }

    /// Hands rows over, to be written with those of others. Nothing is acknowledged before [`Receipt::kept`] says so. `Limit` if they are more
    /// than one record holds.
    pub fn enqueue(&self, mut batch: Batch) -> Result<Receipt> {
        batch.validate()?;
        if let Some(model) = self.shared.models.get(&batch.model) {
            batch.fill_event_times(&model.time);
        }
        let rows = batch.ids.len();
        if rows == 0 {
            return Ok(Receipt(None));
        }
        let record = batch.encode(jiff::Timestamp::now().as_microsecond());
        if record.len() > wal::MAX_RECORD_SIZE {
            return Err(Error::limit(format!(
                "the predictions of one request take {} MiB in the log, and {} MiB is the most: send fewer rows a request",
                record.len() >> 20,
                wal::MAX_RECORD_SIZE >> 20
            )));
        }
        let (reply, answer) = oneshot::channel();
        self.shared.writer.enqueue(PendingAppend { record, rows, reply });
        Ok(Receipt(Some(answer)))
    }

    /// Turns everything acknowledged so far into Parquet (of all models: they share files). `Transient` if the store refuses:
    /// nothing is lost then, and sealing can be asked for again.
    pub async fn seal(&self, _model: &str) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.shared.writer.request_close(reply);
        answer.await.map_err(|_| closed_error())?;
        let (reply, answer) = oneshot::channel();
        self.shared
            .sealer
            .send(sealer::Command { reply: Some(reply) })
            .map_err(|_| closed_error())?;
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
            "the prediction log `{}` is open in another process: stop it, or give this one a folder of its own",
            folder.display()
        ))),
        Err(e) => Err(write_error(&path, &e)),
    }
}

#[cfg(test)]
mod tests;
