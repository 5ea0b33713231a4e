//! The prediction log as the flow's source of windows.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tidemill_core::Result;
use tidemill_host::{
    Store,
    log::{DurableLog, LoggedModel, summarize_window},
};

use tidemill_run::{WindowSource, WindowSummary};

use crate::Project;

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
    fn seal<'a>(&'a self, model: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.log.seal(model))
    }
    fn summarize<'a>(&'a self, model: &'a str, start: Timestamp) -> BoxFuture<'a, Result<WindowSummary>> {
        Box::pin(summarize_window(&self.store, model, start))
    }
}

/// The models whose predictions are logged: the length of a window, and the column with the event time.
pub(crate) fn logged_models(project: &Project) -> BTreeMap<String, LoggedModel> {
    let pipeline = &project.pipeline;
    let logged = pipeline.models.iter().filter_map(|(name, model)| {
        let time = pipeline.features.get(&model.features)?.time.clone();
        let window = model.monitor.window;
        Some((name.clone(), LoggedModel { window, time }))
    });
    logged.collect()
}
