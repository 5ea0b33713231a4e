//! The prediction log as the flow's source of windows.
//!
//! Other servers over the same store have logs of their own, whose rows are in the store some time after they were acknowledged. The closing
//! of a window waits for that time: what was acknowledged when the data passed the window's end is in the window.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tidemill_core::{
    Error, Result,
    layout::{Key, Prefix},
    pipeline::Pipeline,
};
use tidemill_predictions::{DurableLog, summarize_window};
use tidemill_run::{WindowSource, WindowSummary};
use tidemill_store::Store;
use tokio::sync::Notify;

/// Seals and summarizes windows of the durable log.
pub(crate) struct LogWindows {
    log: DurableLog,
    store: Store,
    /// For what other servers have acknowledged to be in the store.
    delay: Duration,
    is_stopping: AtomicBool,
    stopping: Notify,
}

impl LogWindows {
    pub(crate) fn new(log: DurableLog, store: Store, delay: Duration) -> Self {
        Self {
            log,
            store,
            delay,
            is_stopping: AtomicBool::new(false),
            stopping: Notify::new(),
        }
    }

    /// Waits no longer for other servers: windows that are not closed yet are closed after the next start.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Relaxed);
        self.stopping.notify_waiters();
    }

    async fn wait_for_others(&self) -> Result<()> {
        // Created before the look at the flag: a stop in between is noticed.
        let stopping = self.stopping.notified();
        if self.delay.is_zero() {
            return Ok(());
        }
        if !self.is_stopping.load(Relaxed) && tokio::time::timeout(self.delay, stopping).await.is_err() {
            return Ok(());
        }
        Err(Error::transient(
            "the process stops while it waits for the predictions of other servers; the next start closes the window",
        ))
    }
}

impl WindowSource for LogWindows {
    fn seal<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async {
            self.wait_for_others().await?;
            self.log.seal().await
        })
    }
    fn summarize<'a>(&'a self, model: &'a str, start: Timestamp) -> BoxFuture<'a, Result<WindowSummary>> {
        self.log.set_closed(model, start);
        Box::pin(summarize_window(&self.store, model, start))
    }
}

/// Tells the log which windows earlier processes have closed. While the store does not answer, rows of those windows are not counted.
pub(crate) async fn read_closed(log: &DurableLog, store: &Store, pipeline: &Pipeline) {
    for model in pipeline.models.keys() {
        let windows = store.list_all(&Prefix::Windows.under(model)).await.unwrap_or_default();
        // A stray file may sort behind all windows.
        let last = windows.iter().rev().find_map(|meta| match Key::parse(&meta.key)? {
            Key::Window { start, .. } => Some(start),
            _ => None,
        });
        if let Some(start) = last {
            log.set_closed(model, start);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        path::Path,
        sync::Arc,
        time::Instant,
    };

    use tidemill_core::{ColumnValues, time::parse_key_time};
    use tidemill_predictions::{LogOptions, PredictionBatch, Record};

    use super::*;

    fn open(folder: &Path, store: &Store) -> DurableLog {
        let options = LogOptions {
            seal_age: Duration::from_millis(100),
            ..LogOptions::default()
        };
        DurableLog::open(folder, store.clone(), BTreeMap::new(), options).unwrap()
    }

    fn record(request_id: &str) -> Record {
        let batch = PredictionBatch {
            model: "late",
            version: 1,
            transform: "t",
            request_id,
            rows: 1,
            columns: &[("_score".to_owned(), ColumnValues::Number(vec![Some(0.5)]))],
            latency_us: 1,
        };
        batch.to_record().unwrap()
    }

    /// The predictions in the store, whatever window they are in.
    async fn count(windows: &LogWindows, store: &Store) -> u64 {
        let keys = store.list_all("predictions/late/").await.unwrap();
        let starts: BTreeSet<&str> = keys.iter().filter_map(|meta| meta.key.split('/').nth(2)).collect();
        let mut found = 0;
        for start in starts {
            let start = parse_key_time(start).unwrap();
            found += windows.summarize("late", start).await.unwrap().predictions;
        }
        found
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn rows_that_another_server_acknowledged_before_are_in_the_window() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::memory();
        let own = open(&folder.path().join("own"), &store);
        let other = open(&folder.path().join("other"), &store);
        own.append(record("own")).await.unwrap();
        other.append(record("other")).await.unwrap();
        let windows = LogWindows::new(own, store.clone(), Duration::from_secs(2));
        windows.seal("late").await.unwrap();
        assert_eq!(count(&windows, &store).await, 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_stop_does_not_wait_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::memory();
        let windows = Arc::new(LogWindows::new(open(folder.path(), &store), store, Duration::from_secs(60)));
        let waiting = windows.clone();
        let start = Instant::now();
        let sealing = tokio::spawn(async move { waiting.seal("late").await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        windows.stop();
        assert!(sealing.await.unwrap().is_err());
        // Nor does one that begins after the stop.
        assert!(windows.seal("late").await.is_err());
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
