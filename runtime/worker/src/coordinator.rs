//! Keeps the manifests of datasets, closes windows when the data has passed them, and writes scheduled events. What it knows is a copy: all
//! of it follows from the store.
//!
//! It is told of each validation, and looks for those that it was not told of when it starts and when [`Coordinator::recheck`] says so: a
//! file more costs a few requests, however many there are.
//!
//! Only one coordinator of a store may close windows at a time: two that close the same window might name different predictions in its
//! log.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use tidemill_core::{
    ObjectMeta, Result,
    layout::{Key, Prefix, is_ignored},
    notification::ObjectEvent,
    pipeline::{StageKind, StagePolicy, deployment::CoordinatorSettings},
};
use tidemill_run::{Ledger, Manifest, WindowCloser, WindowPolicy, WindowSource, created_key, list_dead_letters, write_scheduled_event};
use tidemill_store::Store;

/// Closes windows and writes scheduled events of one store.
pub struct Coordinator {
    settings: CoordinatorSettings,
    store: Store,
    ledger: Ledger,
    windows: Arc<dyn WindowSource>,
    /// By dataset; read while it is locked.
    manifests: tokio::sync::Mutex<BTreeMap<String, Manifest>>,
    news: Mutex<BTreeMap<String, News>>,
}

/// What is not in the manifest of a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct News {
    /// All outcomes before these were looked for.
    is_complete: bool,
    /// Ids of outcomes.
    outcomes: BTreeSet<String>,
}

impl Coordinator {
    /// A coordinator whose windows summarize the predictions of `windows`.
    pub fn new(settings: CoordinatorSettings, store: Store, windows: Arc<dyn WindowSource>) -> Self {
        Self {
            settings,
            ledger: Ledger::new(store.clone()),
            store,
            windows,
            manifests: tokio::sync::Mutex::default(),
            news: Mutex::default(),
        }
    }

    /// The datasets that models get their features from.
    pub fn datasets(&self) -> BTreeSet<String> {
        self.settings.models.values().map(|model| model.dataset.clone()).collect()
    }

    /// The datasets with a file whose validation was settled, as the events say. Their outcomes are in the manifest the next time that
    /// it is asked for.
    pub fn affected_datasets(&self, events: &[ObjectEvent]) -> BTreeSet<String> {
        let (mut datasets, known) = (BTreeSet::new(), self.datasets());
        for key in events.iter().filter_map(|event| created_key(&self.store, event)) {
            let Some(Key::Outcome { stage, resource, id } | Key::DeadLetter { stage, resource, id }) = Key::parse(&key) else {
                continue;
            };
            if StagePolicy::for_stage(stage).advances_watermark && known.contains(resource) {
                datasets.insert(resource.to_owned());
                self.note_validation(resource, id);
            }
        }
        datasets
    }

    /// Notes that the validation of a file was settled; `id` is that of its outcome. One that does not exist is ignored.
    pub fn note_validation(&self, dataset: &str, id: &str) {
        let mut news = self.news.lock();
        news.entry(dataset.to_owned()).or_default().outcomes.insert(id.to_owned());
    }

    /// Looks for outcomes that it was not told of when a manifest is needed next.
    pub fn recheck(&self) {
        self.news.lock().values_mut().for_each(|news| news.is_complete = false);
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
    /// `may_close` says of a data file's key whether the uploads that came before its own are settled (see also
    /// [`undecided_file`](Self::undecided_file)); it is asked after the manifest is up to date.
    pub async fn close_windows(&self, dataset: &str, may_close: &(dyn Fn(&str) -> bool + Sync), closed: &mut Vec<String>) -> Result<()> {
        let mut manifests = self.manifests.lock().await;
        let manifest = self.update_manifest(&mut manifests, dataset).await?;
        let mut all = Ok(());
        for (name, model) in self.settings.models.iter().filter(|(_, model)| model.dataset == dataset) {
            let policy = WindowPolicy {
                window: model.window,
                block: model.block,
            };
            let mut closer = WindowCloser {
                store: &self.store,
                manifest: &mut *manifest,
                windows: &*self.windows,
                may_close,
            };
            let result = closer.close_model(name, policy, closed).await;
            all = all.and(result.map_err(|e| e.context(format!("cannot close windows of `{name}`"))));
        }
        all
    }

    /// The dataset's manifest with all outcomes that are known of.
    async fn update_manifest<'a>(&self, manifests: &'a mut BTreeMap<String, Manifest>, dataset: &str) -> Result<&'a mut Manifest> {
        let manifest = manifests
            .entry(dataset.to_owned())
            .or_insert_with(|| Manifest::new(self.store.clone(), dataset));
        let news = self.news.lock().entry(dataset.to_owned()).or_default().clone();
        let updated = match news.is_complete {
            true => manifest.add_outcomes(&self.ledger, &news.outcomes).await,
            false => manifest.add_missing_outcomes(&self.ledger).await,
        };
        updated.map_err(|e| e.context(format!("cannot keep the manifest of `{dataset}`")))?;
        let mut noted = self.news.lock();
        let now = noted.entry(dataset.to_owned()).or_default();
        now.is_complete = true;
        now.outcomes.retain(|id| !news.outcomes.contains(id));
        Ok(manifest)
    }

    /// A file of the dataset that has neither an outcome nor a dead letter. A file that was overwritten after its outcome counts as
    /// decided until its own event comes.
    pub async fn undecided_file(&self, dataset: &str) -> Result<Option<String>> {
        let mut files = self.store.list(&Prefix::Raw.under(dataset), None, usize::MAX).await?;
        files.retain(|meta| !is_ignored(&meta.key));
        let mut manifests = self.manifests.lock().await;
        let manifest = self.update_manifest(&mut manifests, dataset).await?;
        files.retain(|meta| !manifest.has_upload(&meta.key));
        drop(manifests);
        if files.is_empty() {
            return Ok(None);
        }
        let letters = list_dead_letters(&self.store).await?.into_iter();
        let letters = letters.filter(|letter| letter.stage == StageKind::Validate.name() && letter.resource == dataset);
        let decided: BTreeSet<String> = letters.map(|letter| letter.trigger.key).collect();
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

#[cfg(test)]
mod tests {
    use tidemill_core::{
        Decision, Digest, Trigger, layout,
        pipeline::deployment::ModelWindows,
        record::{DataFile, DataFiles, MonitoringWindow, OutcomeRecord},
        time::Span,
        trigger_id,
    };
    use tidemill_run::NoPredictions;

    use super::*;

    fn coordinator(store: &Store) -> Coordinator {
        let span = |text: &str| Span::parse(text).unwrap();
        let model = ModelWindows {
            dataset: "d".into(),
            window: span("1 day"),
            block: span("1 hour"),
        };
        let settings = CoordinatorSettings {
            models: BTreeMap::from([("m".to_owned(), model)]),
            schedules: Vec::new(),
        };
        Coordinator::new(settings, store.clone(), Arc::new(NoPredictions))
    }

    /// Commits the outcome of an upload with one hour's data; returns its id.
    async fn commit(store: &Store, hour: i64, decision: Decision) -> String {
        let key = layout::raw("d", &format!("{hour}.csv"));
        store.create(&key, hour.to_string().into()).await.unwrap();
        let digest = Digest::sha256(hour.to_string().as_bytes());
        let from = Timestamp::from_second(hour * 3600).unwrap();
        let until = Timestamp::from_second(hour * 3600 + 3599).unwrap();
        let file = DataFile {
            dataset: "d".into(),
            data: layout::data_file("d", &hour.to_string()),
            digest: digest.clone(),
            profile: String::new(),
            rows: 1,
            quarantined: 0,
            quarantine: None,
            from,
            until,
            spans: Vec::new(),
        };
        let id = trigger_id("validate", "d", &key, &digest);
        let outcome = OutcomeRecord {
            stage: "validate".into(),
            resource: "d".into(),
            trigger: Trigger { key, digest },
            run_key: "0".repeat(32),
            component: Digest::sha256(b"c"),
            config: Digest::sha256(b"{}"),
            engines: tidemill_run::ENGINES.into(),
            as_of: until,
            decision,
            reason: String::new(),
            findings: vec![],
            error: None,
            result: serde_json::to_value(file).unwrap(),
            outputs: vec![],
            depth: 1,
        };
        Ledger::new(store.clone()).commit(&outcome).await.unwrap();
        id
    }

    async fn close(coordinator: &Coordinator) -> Vec<String> {
        let mut closed = Vec::new();
        coordinator.close_windows("d", &|_: &str| true, &mut closed).await.unwrap();
        closed
    }

    async fn window(store: &Store, key: &str) -> MonitoringWindow {
        serde_json::from_slice(&store.get(key).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn windows_close_with_the_files_that_are_known() {
        let store = Store::memory();
        for hour in 0..24 {
            commit(&store, hour, Decision::Done).await;
        }
        let warm = coordinator(&store);
        let first = close(&warm).await;
        assert_eq!(first, ["windows/m/1970-01-01T00-00-00Z.json"]);
        assert_eq!(window(&store, &first[0]).await.data_files.count(), 24);
        assert!(close(&warm).await.is_empty());
        for hour in 24..48 {
            let id = commit(&store, hour, Decision::Done).await;
            warm.note_validation("d", &id);
        }
        let second = close(&warm).await;
        let files = window(&store, &second[0]).await.data_files;
        assert!(matches!(&files, DataFiles::Set(set) if set.files == 48), "{files:?}");
        let blocking = store.blocking();
        let listed = tokio::task::spawn_blocking(move || files.read(&blocking)).await.unwrap().unwrap();
        assert_eq!((listed.len(), listed[46].data.as_str()), (48, "datasets/d/46/data.parquet"));
        assert_eq!(store.list_all("datasets/d/sets/").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_outcome_that_nothing_told_of_is_found_at_a_recheck_and_a_start() {
        let store = Store::memory();
        let warm = coordinator(&store);
        assert!(close(&warm).await.is_empty());
        commit(&store, 23, Decision::Done).await;
        assert!(close(&warm).await.is_empty());
        warm.recheck();
        assert_eq!(close(&warm).await.len(), 1);
        commit(&store, 47, Decision::Done).await;
        assert_eq!(close(&coordinator(&store)).await, ["windows/m/1970-01-02T00-00-00Z.json"]);
    }

    #[tokio::test]
    async fn a_file_is_undecided_until_its_validation_is_settled() {
        let store = Store::memory();
        let warm = coordinator(&store);
        store.create("raw/d/7.csv", "7".into()).await.unwrap();
        store.create("raw/d/.hidden.csv", "x".into()).await.unwrap();
        assert_eq!(warm.undecided_file("d").await.unwrap().as_deref(), Some("raw/d/7.csv"));
        let id = commit(&store, 7, Decision::Rejected).await;
        warm.note_validation("d", &id);
        assert_eq!(warm.undecided_file("d").await.unwrap(), None);
    }
}
