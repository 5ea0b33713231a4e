//! What the flow does beside running stages, as a function: closes windows when a dataset's files are settled, and writes ticks. It
//! runs by the events of what is settled and by a schedule, and needs no memory of either: all of it follows from the store.
//!
//! One at a time (a reserved concurrency of 1): two that close the same window might name different predictions in its log.

use std::{collections::BTreeSet, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use serde_json::{Value, json};
use tidemill_core::{
    ObjectMeta, Result,
    notification::{ObjectEvent, parse_events, parse_messages, parse_scheduled_time},
};
use tidemill_flow::{
    WindowCloser, WindowPolicy, WindowSource, WindowSummary, is_ignored, list_all, list_dead_letters, write_scheduled_event,
};
use tidemill_host::{Ledger, Store, created_key, log::summarize_window};

use crate::{CoordinatorEnvironment, CoordinatorSettings};

/// Keeps windows and ticks of one store.
pub struct Coordinator {
    kept: CoordinatorSettings,
    store: Store,
    ledger: Ledger,
    log: Segments,
}

/// The log that has no write-ahead file: what was acknowledged is Parquet already.
struct Segments(Store);

impl WindowSource for Segments {
    fn seal<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
        async { Ok(()) }.boxed()
    }
    fn summarize<'a>(&'a self, model: &'a str, start: Timestamp) -> BoxFuture<'a, Result<WindowSummary>> {
        summarize_window(&self.0, model, start).boxed()
    }
}

impl Coordinator {
    /// Opens the store.
    pub fn open(settings: CoordinatorEnvironment) -> Result<Self> {
        let store = Store::open(&settings.store)?;
        Ok(Self {
            kept: settings.coordinator,
            ledger: Ledger::new(store.clone()),
            log: Segments(store.clone()),
            store,
        })
    }

    /// By a schedule: ticks that are due, and all windows that can be closed. By events: the windows of the datasets that they are
    /// about. Answers with what was written; for an SQS batch, with the items that are to come again.
    pub async fn handle(&self, payload: &Value) -> Result<Value> {
        if let Some(time) = parse_scheduled_time(payload) {
            let ticks = self.tick(time).await?;
            let windows = self.close(&self.datasets()).await?;
            return Ok(json!({ "ticks": ticks, "windows": windows }));
        }
        let Some(messages) = parse_messages(payload)? else {
            let windows = self.close(&self.about(&parse_events(payload)?)).await?;
            return Ok(json!({ "windows": windows }));
        };
        let (mut about, mut good, mut failed) = (BTreeSet::new(), Vec::new(), Vec::new());
        for message in messages {
            match message.events {
                Ok(notices) => {
                    about.extend(self.about(&notices));
                    good.push(message.id);
                }
                Err(error) => {
                    tracing::error!("message {}, delivery {}: {error}", message.id, message.receive_count);
                    failed.push(message.id);
                }
            }
        }
        if let Err(error) = self.close(&about).await {
            tracing::error!("{error}");
            failed.append(&mut good);
        }
        let failed: Vec<Value> = failed.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
        Ok(json!({ "batchItemFailures": failed }))
    }

    fn datasets(&self) -> BTreeSet<String> {
        self.kept.models.values().map(|model| model.dataset.clone()).collect()
    }

    /// The datasets whose files something was settled about.
    fn about(&self, notices: &[ObjectEvent]) -> BTreeSet<String> {
        let keys = notices.iter().filter_map(|notice| created_key(&self.store, notice));
        let named = keys.filter_map(|key| {
            let mut parts = key.split('/');
            let place = (parts.next()?, parts.next()?);
            let is_settled = matches!(place, ("outcomes" | "dead", "validate"));
            parts.next().filter(|_| is_settled).map(str::to_owned)
        });
        let known = self.datasets();
        named.filter(|dataset| known.contains(dataset)).collect()
    }

    async fn tick(&self, time: Timestamp) -> Result<Vec<String>> {
        let mut written = Vec::new();
        for tick in &self.kept.schedules {
            let new = write_scheduled_event(&self.store, &tick.stage, &tick.resource, tick.every, time).await?;
            written.extend(new.map(|(key, _)| key));
        }
        Ok(written)
    }

    /// Closes what can be closed of these datasets' models; returns the windows' keys.
    async fn close(&self, datasets: &BTreeSet<String>) -> Result<Vec<String>> {
        let mut closed = Vec::new();
        for dataset in datasets {
            if let Some(waiting) = self.waiting(dataset).await? {
                tracing::info!("the windows of `{dataset}` wait: nothing is decided about `{waiting}` yet");
                continue;
            }
            for (name, model) in self.kept.models.iter().filter(|(_, model)| model.dataset == *dataset) {
                let cut = WindowPolicy {
                    window: model.window,
                    block: model.block,
                };
                let closing = WindowCloser {
                    store: &self.store,
                    ledger: &self.ledger,
                    windows: &self.log,
                };
                let result = closing.close_model(name, cut, dataset, &mut closed).await;
                result.map_err(|e| e.context(format!("cannot close windows of `{name}`")))?;
            }
        }
        Ok(closed)
    }

    /// A file of the dataset about which nothing is decided yet. Known by its key: one that was overwritten after its outcome counts as
    /// decided until its own event comes.
    async fn waiting(&self, dataset: &str) -> Result<Option<String>> {
        let files = list_all(&self.store, &format!("raw/{dataset}/")).await?;
        let mut files: Vec<ObjectMeta> = files.into_iter().filter(|meta| !is_ignored(&meta.key)).collect();
        let outcomes = self.ledger.list_outcomes(Some("validate"), Some(dataset)).await?;
        let mut decided: BTreeSet<String> = outcomes.into_iter().map(|outcome| outcome.trigger.key).collect();
        files.retain(|meta| !decided.contains(&meta.key));
        if files.is_empty() {
            return Ok(None);
        }
        let letters = list_dead_letters(&self.store).await?.into_iter();
        let letters = letters.filter(|letter| letter.stage == "validate" && letter.resource == dataset);
        decided.extend(letters.map(|letter| letter.trigger.key));
        for ObjectMeta { key, size } in files {
            // Consoles leave empty objects in the place of folders: a listing has them without their last `/`, and nothing is at that key.
            let is_settled = decided.contains(&key) || (size == 0 && self.store.head(&key).await?.is_none());
            if !is_settled {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }
}

/// Serves the coordinator until Lambda ends the process; what its `main` calls. Ends the process with the error kind's exit code.
pub fn run_keeper() {
    crate::serve(|_| {
        let coordinator = Arc::new(Coordinator::open(CoordinatorEnvironment::from_environment()?)?);
        Ok(move |payload: Value| {
            let coordinator = coordinator.clone();
            async move { coordinator.handle(&payload).await.map_err(|e| e.context("the coordinator")) }
        })
    });
}
