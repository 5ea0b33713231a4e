//! The prediction log: acknowledged means on the disk. Requests append to a write-ahead file and share its fsyncs; closed
//! files become Parquet in the store. Where no disk outlives the process, [`DirectLog`] writes each request's rows to the
//! store itself. An id may stand in the log twice (a client asked again): readers take each id once.

mod inbox;
mod sealer;
mod slice;
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
use tidemill_store::log::{name, segments};
use tokio::sync::oneshot;

pub use tidemill_store::log::{Batch, DirectLog, LoggedModel, Serving, Values, WindowSummary, window_summary};

use self::inbox::{Inbox, Waiting};
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
pub struct PredictionLog {
    shared: Arc<Shared>,
}

/// For rows that were handed over.
#[derive(Debug)]
#[must_use = "rows are kept only when the receipt says so"]
pub struct Receipt(Option<oneshot::Receiver<Result<()>>>);

impl Receipt {
    /// Returns when the rows are on the disk, or cannot be (`Transient`).
    pub async fn kept(self) -> Result<()> {
        match self.0 {
            Some(answer) => answer.await.map_err(|_| closed())?,
            None => Ok(()),
        }
    }
}

struct Shared {
    models: BTreeMap<String, LoggedModel>,
    writer: Arc<Inbox>,
    sealer: mpsc::Sender<sealer::Command>,
    /// Held as long as the log is open.
    _lock: File,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.writer.end();
    }
}

/// The file that is being written, known to both threads so that it is not sealed.
type Active = Arc<Mutex<Option<PathBuf>>>;

impl PredictionLog {
    /// Opens the log over the folder `folder`, cuts torn tails off, and begins to turn what an earlier process left into Parquet.
    /// `models` says how each model's rows are cut (by days of serving where it says nothing). Must be called inside a tokio runtime.
    /// `Config` if another process has the folder open, `Transient` if it cannot be written.
    pub fn open(folder: &Path, store: Store, models: BTreeMap<String, LoggedModel>, options: LogOptions) -> Result<Self> {
        let handle =
            tokio::runtime::Handle::try_current().map_err(|_| Error::bug("the prediction log must be opened inside a tokio runtime"))?;
        let io = |e: std::io::Error| unwritable(folder, &e);
        std::fs::create_dir_all(folder).map_err(io)?;
        let lock = lock(folder)?;
        for path in sealer::files(folder).map_err(io)? {
            wal::mend(&path).map_err(io)?;
        }
        let windows = models.iter().map(|(name, model)| (name.clone(), model.window)).collect();
        let active = Active::default();
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
        self.queue(batch)?.kept().await
    }

    /// Hands rows over, to be written with those of others. Nothing is acknowledged before [`Receipt::kept`] says so. `Limit` if they are more
    /// than one record holds.
    pub fn queue(&self, mut batch: Batch) -> Result<Receipt> {
        batch.check()?;
        if let Some(model) = self.shared.models.get(&batch.model) {
            batch.take_times(&model.time);
        }
        let rows = batch.ids.len();
        if rows == 0 {
            return Ok(Receipt(None));
        }
        let record = batch.encode(jiff::Timestamp::now().as_microsecond());
        if record.len() > wal::LARGEST {
            return Err(Error::limit(format!(
                "the predictions of one request take {} MiB in the log, and {} MiB is the most: send fewer rows a request",
                record.len() >> 20,
                wal::LARGEST >> 20
            )));
        }
        let (reply, answer) = oneshot::channel();
        self.shared.writer.append(Waiting { record, rows, reply });
        Ok(Receipt(Some(answer)))
    }

    /// Turns everything acknowledged so far into Parquet (of all models: they share files). `Transient` if the store refuses:
    /// nothing is lost then, and sealing can be asked for again.
    pub async fn seal(&self, _model: &str) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.shared.writer.close(reply);
        answer.await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        self.shared
            .sealer
            .send(sealer::Command { reply: Some(reply) })
            .map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

fn closed() -> Error {
    Error::transient("the prediction log is closed")
}

fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::transient(format!(
        "the prediction log cannot write `{}`: {error}; predictions are refused until it can",
        path.display()
    ))
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|e| unwritable(&path, &e))?;
    match FileExt::try_lock_exclusive(&file) {
        Ok(true) => Ok(file),
        Ok(false) => Err(Error::config(format!(
            "the prediction log `{}` is open in another process: stop it, or give this one a folder of its own",
            folder.display()
        ))),
        Err(e) => Err(unwritable(&path, &e)),
    }
}

#[cfg(test)]
mod tests;
