//! The prediction log as the flow's source of windows.

use futures::future::BoxFuture;
use jiff::Timestamp;
use tidemill_core::{
    Result,
    layout::{Key, Prefix},
    pipeline::Pipeline,
};
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
        self.log.set_closed(model, start);
        Box::pin(summarize_window(&self.store, model, start))
    }
}

/// Tells the log which windows earlier processes have closed. While the store does not answer, rows of those windows are not counted.
pub(crate) async fn read_closed(log: &DurableLog, store: &Store, pipeline: &Pipeline) {
    for model in pipeline.models.keys() {
        let windows = store.list_all(&Prefix::Windows.under(model)).await.unwrap_or_default();
        if let Some(Key::Window { start, .. }) = windows.last().and_then(|meta| Key::parse(&meta.key)) {
            log.set_closed(model, start);
        }
    }
}
