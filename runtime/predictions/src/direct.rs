//! The log without a local disk, as on Lambda and in Spin: a request's rows are Parquet objects before the request is answered.
//!
//! A request whose rows belong to several windows makes several objects. If a later one cannot be written the request is refused and
//! the earlier ones stay, like the rows of an answer that never reached its client; when the client repeats the request under the same
//! id, each row counts once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tidemill_core::{Error, PutResult, Result, pipeline::deployment::LoggedModel, text::quoted_list};
use tidemill_store::Store;

use crate::{
    Record,
    segment::{build_segments, unique_name},
    window_limits::check_windows,
};

/// Writes predictions straight to the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DirectLog {
    store: Store,
    models: Arc<BTreeMap<String, LoggedModel>>,
    /// Part of the name of each object.
    count: Arc<AtomicU64>,
}

impl DirectLog {
    /// A log in a store. Models that `models` does not name are refused.
    pub fn new(store: Store, models: BTreeMap<String, LoggedModel>) -> Self {
        Self {
            store,
            models: Arc::new(models),
            count: Arc::default(),
        }
    }

    /// Writes a request's rows, and returns when they are in the store.
    ///
    /// # Errors
    /// `Transient` if the store does not take them: nothing was acknowledged, and a later append may work. `Config` if the model has no
    /// configuration: in windows of a guessed length no monitor would find the rows. `Input` if the rows are in too many windows, or in
    /// the future.
    pub async fn append(&self, mut record: Record) -> Result<()> {
        let Some((model, config)) = self.models.get_key_value(record.model()) else {
            return Err(self.unknown_model(record.model()));
        };
        let now = jiff::Timestamp::now();
        record.set_served_at(now.as_microsecond());
        let models = BTreeMap::from([(model.clone(), config.clone())]);
        check_windows(&record, &models, now, None)?;
        let name = unique_name("direct", self.count.fetch_add(1, Ordering::Relaxed));
        for segment in build_segments(&name, [record.as_bytes()], &models)? {
            match self.store.create(&segment.key, segment.bytes.into()).await {
                Ok(PutResult::Written | PutResult::Unchanged) => {}
                Ok(PutResult::Conflict) => return Err(append_error(&segment.key, &"another process has taken the name")),
                Err(error) => return Err(append_error(&segment.key, &error)),
            }
        }
        Ok(())
    }

    fn unknown_model(&self, model: &str) -> Error {
        let known = quoted_list(self.models.keys());
        Error::config(format!(
            "predictions of `{model}` cannot be logged: the configuration has `window` and `time` for {known}; add those of `{model}`"
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
    use tidemill_core::{ColumnValues, ErrorKind, time::Span};

    use super::*;
    use crate::{PredictionBatch, summarize_window};

    fn log(store: &Store) -> DirectLog {
        let month = LoggedModel {
            window: Span::parse("1 month").unwrap(),
            time: "at".into(),
        };
        DirectLog::new(store.clone(), [("late".to_owned(), month)].into())
    }

    fn record(model: &str, request_id: &str, times: [&str; 2]) -> Record {
        let micros = |time: &str| time.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let columns = [
            (
                "at".to_owned(),
                ColumnValues::Timestamp(times.map(|time| Some(micros(time))).to_vec()),
            ),
            ("_score".to_owned(), ColumnValues::Number(vec![Some(0.25), Some(0.75)])),
        ];
        let batch = PredictionBatch {
            model,
            version: 3,
            transform: "t",
            request_id,
            rows: 2,
            columns: &columns,
            latency_us: 7,
        };
        batch.to_record().unwrap()
    }

    async fn summarize(store: &Store, month: &str) -> (u64, usize) {
        let start = format!("2013-{month}-01T00:00:00Z").parse().unwrap();
        let summary = summarize_window(store, "late", start).await.unwrap();
        (summary.predictions, summary.segments.len())
    }

    #[tokio::test]
    async fn rows_are_filed_by_event_time_and_count_once() {
        let store = Store::memory();
        let log = log(&store);
        for _ in 0..2 {
            let record = record("late", "a", ["2013-05-31T23:59:00Z", "2013-06-01T00:00:00Z"]);
            log.append(record).await.unwrap();
        }
        assert_eq!((summarize(&store, "05").await, summarize(&store, "06").await), ((1, 2), (1, 2)));
        assert_eq!(summarize(&store, "07").await, (0, 0));
    }

    #[tokio::test]
    async fn a_store_that_refuses_and_an_unknown_model_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("predictions"), "in the way").unwrap();
        let log = log(&Store::local(folder.path()).unwrap());
        let may = ["2013-05-01T00:00:00Z"; 2];
        let error = log.append(record("late", "a", may)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Transient);
        std::fs::remove_file(folder.path().join("predictions")).unwrap();
        log.append(record("late", "a", may)).await.unwrap();
        let error = log.append(record("early", "b", may)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config);
        assert!(error.message.contains("`early`") && error.message.contains("`late`"), "{error}");
    }
}
