//! The prediction log as the flow's source of windows.

use futures::future::BoxFuture;
use jiff::Timestamp;
use tidemill_core::Result;
use tidemill_predictions::{DurableLog, summarize_window};
use tidemill_run::{WindowSource, WindowSummary};
use tidemill_store::Store;

/// Seals and summarizes windows of the durable log.
pub(crate) struct LogWindows {
    log: DurableLog,
    store: Store,
}

impl LogWindows {
    pub(crate) fn new(log: DurableLog, store: Store) -> Self {
        Self { log, store }
    }
}

impl WindowSource for LogWindows {
    fn seal<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.log.seal())
    }
    fn summarize<'a>(&'a self, model: &'a str, start: Timestamp) -> BoxFuture<'a, Result<WindowSummary>> {
        Box::pin(summarize_window(&self.store, model, start))
    }
}
