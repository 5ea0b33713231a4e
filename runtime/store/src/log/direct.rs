//! The log where no disk outlives the process, as on Lambda and in Spin: a request's rows become Parquet objects, created before the request is
//! answered. Acknowledged means: in the store.
//!
//! A request whose rows fall into several windows makes several objects. If a later one fails the request is refused, and the
//! earlier ones stay, like the rows of an answer that never reached its client; asked again under its own id, each row counts once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tidemill_core::{Error, PutResult, Result, time::Span};

use super::{Batch, LoggedModel, segment::build_segments, unique_name};
use crate::Store;

/// Writes predictions straight to the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DirectLog {
    store: Store,
    models: Arc<BTreeMap<String, LoggedModel>>,
    /// Names differ within a process by this.
    written: Arc<AtomicU64>,
}

impl DirectLog {
    /// A log over a store. `models` says how each model's rows are cut; others are not logged, and so not served.
    pub fn new(store: Store, models: BTreeMap<String, LoggedModel>) -> Self {
        Self {
            store,
            models: Arc::new(models),
            written: Arc::default(),
        }
    }

    /// Returns when the rows are in the store. `Transient` if they cannot be: then nothing was acknowledged, and a later append
    /// may work. `Config` if it was not said how the model's rows are cut: in windows of a guessed length no monitor would find them.
    pub async fn append(&self, mut batch: Batch) -> Result<()> {
        batch.validate()?;
        let model = self.models.get(&batch.model).ok_or_else(|| self.unknown_model(&batch.model))?;
        batch.fill_event_times(&model.time);
        let windows: BTreeMap<String, Span> = [(batch.model.clone(), model.window)].into();
        let name = unique_name("direct", self.written.fetch_add(1, Ordering::Relaxed));
        let record = batch.encode(jiff::Timestamp::now().as_microsecond());
        for segment in build_segments(&name, [record.as_slice()], &windows)? {
            match self.store.create(&segment.key, segment.bytes.into()).await {
                Ok(PutResult::Written | PutResult::Unchanged) => {}
                Ok(PutResult::Conflict) => return Err(append_error(&segment.key, &"another process has taken the name")),
                Err(error) => return Err(append_error(&segment.key, &error)),
            }
        }
        Ok(())
    }

    fn unknown_model(&self, model: &str) -> Error {
        let known: Vec<String> = self.models.keys().map(|name| format!("`{name}`")).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Error::config(format!(
            "predictions of `{model}` cannot be logged: the configuration says `window` and `time` of {known}; add those of `{model}`"
        ))
    }
}

fn append_error(key: &str, why: &dyn std::fmt::Display) -> Error {
    Error::transient(format!(
        "the prediction log cannot write `{key}`: {why}; predictions are refused until it can"
    ))
}

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;
    use crate::log::{Values, summarize_window};

    fn log(store: &Store) -> DirectLog {
        let month = LoggedModel {
            window: Span::parse("1 month").unwrap(),
            time: "at".into(),
        };
        DirectLog::new(store.clone(), [("late".to_owned(), month)].into())
    }

    fn micros(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    fn batch(request: &str, times: [&str; 2]) -> Batch {
        Batch {
            model: "late".into(),
            version: 3,
            transform: "t".into(),
            ids: vec![format!("{request}/0"), format!("{request}/1")],
            times: vec![None; 2],
            columns: vec![
                ("at".into(), Values::Timestamp(times.map(|time| Some(micros(time))).to_vec())),
                ("_score".into(), Values::Number(vec![Some(0.25), Some(0.75)])),
            ],
            latency_us: 7,
        }
    }

    async fn of(store: &Store, month: &str) -> (u64, usize) {
        let summary = summarize_window(store, "late", format!("2013-{month}-01T00:00:00Z").parse().unwrap())
            .await
            .unwrap();
        (summary.predictions, summary.segments.len())
    }

    #[tokio::test]
    async fn rows_are_filed_by_their_own_time_and_count_once() {
        let store = Store::memory();
        let log = log(&store);
        for _ in 0..2 {
            log.append(batch("a", ["2013-05-31T23:59:00Z", "2013-06-01T00:00:00Z"]))
                .await
                .unwrap();
        }
        assert_eq!((of(&store, "05").await, of(&store, "06").await), ((1, 2), (1, 2)));
        assert_eq!(of(&store, "07").await, (0, 0));
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("predictions"), "in the way").unwrap();
        let log = log(&Store::local(folder.path()).unwrap());
        let may = ["2013-05-01T00:00:00Z"; 2];
        let error = log.append(batch("a", may)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Transient);
        std::fs::remove_file(folder.path().join("predictions")).unwrap();
        log.append(batch("a", may)).await.unwrap();
        let other = Batch {
            model: "early".into(),
            ..batch("b", may)
        };
        let error = log.append(other).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config);
        assert!(error.message.contains("`early`") && error.message.contains("`late`"), "{error}");
    }
}
