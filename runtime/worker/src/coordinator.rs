//! Closes windows when the data has passed them, and writes scheduled events. It keeps no state: all of it follows from the store.
//!
//! Only one coordinator of a store may close windows at a time: two that close the same window might name different predictions in its
//! log.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use tidemill_core::{
    ObjectMeta, Result,
    layout::{Key, Prefix, is_ignored},
    notification::ObjectEvent,
    pipeline::{StageKind, StagePolicy, deployment::CoordinatorSettings},
};
use tidemill_run::{Ledger, WindowCloser, WindowPolicy, WindowSource, created_key, list_dead_letters, write_scheduled_event};
use tidemill_store::Store;

/// Closes windows and writes scheduled events of one store.
pub struct Coordinator {
    settings: CoordinatorSettings,
    store: Store,
    ledger: Ledger,
    windows: Arc<dyn WindowSource>,
}

impl Coordinator {
    /// A coordinator whose windows summarize the predictions of `windows`.
    pub fn new(settings: CoordinatorSettings, store: Store, windows: Arc<dyn WindowSource>) -> Self {
        Self {
            settings,
            ledger: Ledger::new(store.clone()),
            store,
            windows,
        }
    }

    /// The datasets that models get their features from.
    pub fn datasets(&self) -> BTreeSet<String> {
        self.settings.models.values().map(|model| model.dataset.clone()).collect()
    }

    /// The datasets with a file whose validation was settled, as the events say.
    pub fn affected_datasets(&self, events: &[ObjectEvent]) -> BTreeSet<String> {
        let keys = events.iter().filter_map(|event| created_key(&self.store, event));
        let named = keys.filter_map(|key| match Key::parse(&key)? {
            Key::Outcome { stage, resource, .. } | Key::DeadLetter { stage, resource, .. } => {
                let is_validation = StagePolicy::for_stage(stage).advances_watermark;
                is_validation.then(|| resource.to_owned())
            }
            _ => None,
        });
        let known = self.datasets();
        named.filter(|dataset| known.contains(dataset)).collect()
    }

    /// Writes the scheduled events that are due at `time`; returns the new ones, by key, with their bytes. Of the times that passed while
    /// no coordinator ran, only the latest is written.
    pub async fn write_schedules(&self, time: Timestamp) -> Result<Vec<(String, Vec<u8>)>> {
        let mut written = Vec::new();
        for schedule in &self.settings.schedules {
            written.extend(write_scheduled_event(&self.store, &schedule.stage, &schedule.resource, schedule.every, time).await?);
        }
        Ok(written)
    }

    /// Closes all windows of the dataset's models that its data has passed. Their keys go to `closed`. One model's trouble does not stop the
    /// others: the error is the first of them.
    ///
    /// The caller makes sure that all uploads are settled that came before a file that may close a window (see
    /// [`undecided_file`](Self::undecided_file)); data files with the keys `held_back` close none.
    pub async fn close_windows(&self, dataset: &str, held_back: &BTreeSet<String>, closed: &mut Vec<String>) -> Result<()> {
        let mut all = Ok(());
        for (name, model) in self.settings.models.iter().filter(|(_, model)| model.dataset == dataset) {
            let policy = WindowPolicy {
                window: model.window,
                block: model.block,
            };
            let closer = WindowCloser {
                store: &self.store,
                ledger: &self.ledger,
                windows: &*self.windows,
                held_back,
            };
            let result = closer.close_model(name, policy, dataset, closed).await;
            all = all.and(result.map_err(|e| e.context(format!("cannot close windows of `{name}`"))));
        }
        all
    }

    /// A file of the dataset that has neither an outcome nor a dead letter. A file that was overwritten after its outcome counts as
    /// decided until its own event comes.
    pub async fn undecided_file(&self, dataset: &str) -> Result<Option<String>> {
        let mut files = self.store.list(&Prefix::Raw.under(dataset), None, usize::MAX).await?;
        files.retain(|meta| !is_ignored(&meta.key));
        let outcomes = self.ledger.list_outcomes(Some(StageKind::Validate.name()), Some(dataset)).await?;
        let mut decided: BTreeSet<String> = outcomes.into_iter().map(|outcome| outcome.trigger.key).collect();
        files.retain(|meta| !decided.contains(&meta.key));
        if files.is_empty() {
            return Ok(None);
        }
        let letters = list_dead_letters(&self.store).await?.into_iter();
        let letters = letters.filter(|letter| letter.stage == StageKind::Validate.name() && letter.resource == dataset);
        decided.extend(letters.map(|letter| letter.trigger.key));
        for ObjectMeta { key, size } in files {
            // Consoles write empty objects in place of folders: a listing has them without their last `/`, and no object has that key.
            let is_decided = decided.contains(&key) || (size == 0 && self.store.head(&key).await?.is_none());
            if !is_decided {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }
}
