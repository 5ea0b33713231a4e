//! The number of trainings that a model may start on one day (UTC, wall clock). It is counted from run records, so it outlives the process.
//! No stage sees the wall clock.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use parking_lot::Mutex;
use tidemill_core::{Result, layout, pipeline::StageKind, record::RunRecord};
use tidemill_store::Store;

/// Start times of trainings by key of their run record.
#[derive(Debug, Default)]
pub struct Budget {
    started: Mutex<BTreeMap<String, Timestamp>>,
}

impl Budget {
    /// Counts a run of `model` that is about to start; the start of the next day if the day's `limit` is reached.
    pub async fn reserve(&self, store: &Store, model: &str, id: &str, limit: u32, now: Timestamp) -> Result<Option<Timestamp>> {
        let prefix = layout::run_prefix(StageKind::Featurize.name(), model);
        for meta in store.list(&prefix, None, usize::MAX).await? {
            if !self.started.lock().contains_key(&meta.key)
                && let Ok(run) = serde_json::from_slice::<RunRecord>(&store.get_record(&meta.key).await?)
            {
                self.started.lock().insert(meta.key, run.started);
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
}
