//! The number of trainings that a model may start on one day (UTC, wall clock). It is counted from run records, so it outlives the process.
//! No stage sees the wall clock.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use parking_lot::Mutex;
use tidemill_core::{Error, Result, layout, pipeline::StageKind, record::RunRecord};
use tidemill_store::Store;

const READ_CONCURRENCY: usize = 16;
/// The beginning of a run record, which has the time. What the run read follows, and may be a line for each of many data files.
const HEAD_BYTES: u64 = 1024;

/// Start times of trainings by key of their run record.
#[derive(Debug, Default)]
pub struct Budget {
    started: Mutex<BTreeMap<String, Timestamp>>,
}

impl Budget {
    /// Counts a run of `model` that is about to start; the start of the next day if the day's `limit` is reached.
    pub async fn reserve(&self, store: &Store, model: &str, id: &str, limit: u32, now: Timestamp) -> Result<Option<Timestamp>> {
        let prefix = layout::run_prefix(StageKind::Featurize.name(), model);
        let mut listed = store.list(&prefix, None, usize::MAX).await?;
        listed.retain(|meta| !self.started.lock().contains_key(&meta.key));
        let each = listed
            .into_iter()
            .map(|meta| async move { Ok::<_, Error>((find_start_time(store, &meta.key).await?, meta.key)) });
        let read: Vec<_> = stream::iter(each).buffered(READ_CONCURRENCY).try_collect().await?;
        for (time, key) in read {
            if let Some(time) = time {
                self.started.lock().entry(key).or_insert(time);
            }
        }
        let Ok(today) = now.to_zoned(TimeZone::UTC).start_of_day() else {
            return Ok(None);
        };
        let own = format!("{prefix}{id}.json");
        let Ok(tomorrow) = today.checked_add(1.day()) else {
            return Ok(None);
        };
        let (today, tomorrow) = (today.timestamp(), tomorrow.timestamp());
        let mut started = self.started.lock();
        // A start of a later day was made while the clock was wrong.
        let used = started
            .iter()
            .filter(|(key, at)| key.starts_with(&prefix) && **key != own && **at >= today && **at < tomorrow)
            .count();
        if used < limit as usize {
            started.insert(own, now);
            return Ok(None);
        }
        Ok(Some(tomorrow))
    }
}

/// When the run started; `None` if the object is not a run record.
async fn find_start_time(store: &Store, key: &str) -> Result<Option<Timestamp>> {
    let head = store.get_range(key, 0, HEAD_BYTES).await?;
    let head = String::from_utf8_lossy(&head);
    let time = head.split_once("\"started\": \"").and_then(|(_, rest)| rest.split_once('"'));
    if let Some(time) = time.and_then(|(time, _)| time.parse().ok()) {
        return Ok(Some(time));
    }
    let record = serde_json::from_slice::<RunRecord>(&store.get_record(key).await?);
    Ok(record.ok().map(|run| run.started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn counts_a_day_and_a_model() {
        let (store, budget) = (Store::memory(), Budget::default());
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let noon = at("2026-01-02T12:00:00Z");
        assert_eq!(budget.reserve(&store, "m", "1", 1, noon).await.unwrap(), None);
        assert_eq!(budget.reserve(&store, "m", "1", 1, noon).await.unwrap(), None, "the same run again");
        assert_eq!(budget.reserve(&store, "other", "2", 1, noon).await.unwrap(), None);
        assert_eq!(
            budget.reserve(&store, "m", "2", 1, noon).await.unwrap(),
            Some(at("2026-01-03T00:00:00Z"))
        );
        assert_eq!(budget.reserve(&store, "m", "2", 1, at("2026-01-03T00:00:01Z")).await.unwrap(), None);
        assert_eq!(
            budget.reserve(&store, "m", "3", 1, at("2026-01-01T12:00:00Z")).await.unwrap(),
            None,
            "the clock was set back"
        );
    }

    #[tokio::test]
    async fn records_of_other_processes_count_however_long_they_are() {
        let store = Store::memory();
        let reads: Vec<_> = (0..1000)
            .map(|file| serde_json::json!({ "kind": "absent", "key": file.to_string() }))
            .collect();
        let mut record = serde_json::json!({
            "run-key": "1", "stage": "featurize", "resource": "m", "started": "2026-01-02T10:00:00Z", "duration-ms": 1, "memory-bytes": 1,
            "attempt": 1, "reads": reads, "environment": {},
        });
        let noon: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        let whole: RunRecord = serde_json::from_value(record.clone()).unwrap();
        let pretty = serde_json::to_vec_pretty(&whole).unwrap();
        store.replace(&layout::run("featurize", "m", "a"), pretty.into()).await.unwrap();
        record["started"] = "2026-01-01T10:00:00Z".into();
        store
            .replace(&layout::run("featurize", "m", "b"), record.to_string().into())
            .await
            .unwrap();
        store.replace(&layout::run("featurize", "m", "c"), "{}".into()).await.unwrap();
        let reserve = async |limit| Budget::default().reserve(&store, "m", "d", limit, noon).await.unwrap();
        assert_eq!(reserve(2).await, None, "one of today");
        assert!(reserve(1).await.is_some());
    }
}
