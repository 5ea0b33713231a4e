//! The coordinator as a function: it runs on the events of settled files and on a schedule.
//!
//! Its reserved concurrency is 1: only one coordinator of a store may close windows at a time.

use std::{collections::BTreeSet, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use serde_json::{Value, json};
use tidemill_core::{
    Result,
    notification::{parse_events, parse_messages, parse_scheduled_time},
};
use tidemill_predictions::summarize_window;
use tidemill_run::{WindowSource, WindowSummary};
use tidemill_store::Store;
use tidemill_worker::Coordinator;

use crate::CoordinatorEnvironment;

/// Handles the invocations of the coordinator's function.
pub struct CoordinatorHandler {
    coordinator: Coordinator,
}

/// The log without a write-ahead file: what was acknowledged is Parquet.
struct SegmentWindows(Store);

impl WindowSource for SegmentWindows {
    fn seal<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
        async { Ok(()) }.boxed()
    }
    fn summarize<'a>(&'a self, model: &'a str, start: Timestamp) -> BoxFuture<'a, Result<WindowSummary>> {
        summarize_window(&self.0, model, start).boxed()
    }
}

impl CoordinatorHandler {
    /// Opens the store.
    pub fn open(environment: CoordinatorEnvironment) -> Result<Self> {
        let store = Store::open(&environment.store)?;
        let windows = Arc::new(SegmentWindows(store.clone()));
        Ok(Self {
            coordinator: Coordinator::new(environment.coordinator, store, windows),
        })
    }

    /// Handles an invocation. A schedule writes the scheduled events that are due, and closes all windows that can be closed; events
    /// close the windows of the datasets that they are about. The answer says what was written; for an SQS batch it names the items that
    /// are to be delivered again.
    pub async fn handle(&self, payload: &Value) -> Result<Value> {
        if let Some(time) = parse_scheduled_time(payload) {
            let written = self.coordinator.write_schedules(time).await?;
            // An event may have been lost.
            self.coordinator.recheck();
            let keys: Vec<String> = written.into_iter().map(|(key, _)| key).collect();
            let windows = self.close_windows(&self.coordinator.datasets()).await?;
            return Ok(json!({ "schedules": keys, "windows": windows }));
        }
        let Some(messages) = parse_messages(payload)? else {
            let datasets = self.coordinator.affected_datasets(&parse_events(payload)?);
            return Ok(json!({ "windows": self.close_windows(&datasets).await? }));
        };
        let (mut datasets, mut good, mut failed) = (BTreeSet::new(), Vec::new(), Vec::new());
        for message in messages {
            match message.events {
                Ok(events) => {
                    datasets.extend(self.coordinator.affected_datasets(&events));
                    good.push(message.id);
                }
                Err(error) => {
                    tracing::error!("message {}, delivery {}: {error}", message.id, message.receive_count);
                    failed.push(message.id);
                }
            }
        }
        if let Err(error) = self.close_windows(&datasets).await {
            tracing::error!("{error}");
            failed.append(&mut good);
        }
        let failed: Vec<Value> = failed.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
        Ok(json!({ "batchItemFailures": failed }))
    }

    /// Closes what can be closed of these datasets' models; returns the windows' keys.
    async fn close_windows(&self, datasets: &BTreeSet<String>) -> Result<Vec<String>> {
        let mut closed = Vec::new();
        for dataset in datasets {
            match self.coordinator.undecided_file(dataset).await? {
                Some(file) => tracing::info!("the windows of `{dataset}` wait: `{file}` is not validated yet"),
                None => self.coordinator.close_windows(dataset, &|_: &str| true, &mut closed).await?,
            }
        }
        Ok(closed)
    }
}

/// Serves the coordinator until Lambda ends the process.
pub fn run_coordinator() {
    crate::serve(|_| {
        let handler = Arc::new(CoordinatorHandler::open(CoordinatorEnvironment::from_environment()?)?);
        Ok(move |payload: Value| {
            let handler = handler.clone();
            async move { handler.handle(&payload).await.map_err(|e| e.context("the coordinator")) }
        })
    });
}
