//! The note that a window was not judged. `retrain` decides on windows in order: without it, one dead letter would hold back every later
//! decision of the model.

use tidemill_core::{
    PutResult, Result,
    layout::{self, Key, Prefix},
    pipeline::StageKind,
    record::{MonitoringReport, OutcomeRecord, UnjudgedWindow},
};
use tidemill_store::Store;

use crate::{DeadLetter, ledger::to_json};

/// Writes the note that follows from a dead letter, if it is one of `monitor` or `retrain` for a window. A note that exists is kept.
pub async fn note_unjudged_window(store: &Store, letter: &DeadLetter) -> Result<()> {
    let model = letter.resource.as_str();
    let (window, key) = match StageKind::from_name(&letter.stage) {
        Some(StageKind::Monitor) => match Key::parse(&letter.trigger.key) {
            Some(Key::Window { start, .. }) => (start, layout::unreported_window(model, start)),
            _ => return Ok(()),
        },
        Some(StageKind::Retrain) => match reported_window(store, &letter.trigger.key).await {
            Some(start) => (start, layout::undecided_window(model, start)),
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    let windows = store.list_all(&Prefix::Windows.under(model)).await?;
    let starts = windows.iter().filter_map(|meta| match Key::parse(&meta.key) {
        Some(Key::Window { start, .. }) => Some(start),
        _ => None,
    });
    let note = UnjudgedWindow {
        model: model.to_owned(),
        window,
        previous: starts.filter(|start| *start < window).max(),
        stage: letter.stage.clone(),
        reason: letter.message.clone(),
    };
    if store.create(&key, to_json(&key, &note)?.into()).await? == PutResult::Written {
        tracing::warn!("window {window} of `{model}` is not judged: later windows are decided without it");
    }
    Ok(())
}

/// The window of the report in an outcome of `monitor`; `None` if there is none, as for a scheduled event.
async fn reported_window(store: &Store, key: &str) -> Option<jiff::Timestamp> {
    let record: OutcomeRecord = serde_json::from_slice(&store.get_record(key).await.ok()?).ok()?;
    let report: MonitoringReport = serde_json::from_value(record.result).ok()?;
    Some(report.start)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn letter(stage: &str, key: &str) -> DeadLetter {
        serde_json::from_value(json!({
            "id": "1", "stage": stage, "resource": "m", "trigger": { "key": key, "digest": "0".repeat(64) },
            "kind": "limit", "message": "too much", "attempt": 3, "depth": 2,
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_dead_monitor_names_its_window_and_the_one_before() {
        let store = Store::memory();
        for name in [
            "2013-01-01T00-00-00Z.json",
            "2013-02-01T00-00-00Z.json",
            "2013-03-01T00-00-00Z.json",
            "notes.txt",
        ] {
            store.create(&format!("windows/m/{name}"), "damaged".into()).await.unwrap();
        }
        note_unjudged_window(&store, &letter("monitor", "windows/m/2013-02-01T00-00-00Z.json"))
            .await
            .unwrap();
        let bytes = store.get("reports/m/2013-02-01T00-00-00Z/not-judged.json").await.unwrap();
        let note: UnjudgedWindow = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(note.previous, Some("2013-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!((note.stage.as_str(), note.reason.as_str()), ("monitor", "too much"));
        // Labels revise reports; a dead letter for them leaves the window's own judgement as it is.
        for (stage, key) in [
            ("monitor", "labels/m/a.csv"),
            ("retrain", "schedules/retrain/m/x.json"),
            ("train", "outcomes/a/m/1.json"),
        ] {
            note_unjudged_window(&store, &letter(stage, key)).await.unwrap();
        }
        assert_eq!(store.list_all("reports/").await.unwrap().len(), 1);
        assert!(store.list_all("decisions/").await.unwrap().is_empty());
    }
}
