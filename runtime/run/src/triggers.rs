//! From a notice to the objects that it makes a node run for.

use tidemill_core::{
    Decision, Error, ErrorKind, Result,
    notification::{EventKind, ObjectEvent},
    pipeline::{KeyRole, NodeSettings},
    record::OutcomeRecord,
};
use tidemill_store::Store;

/// An object that a node is to run for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerRef {
    /// Its key.
    pub key: String,
    /// Steps since a person or a schedule put something in.
    pub depth: u32,
}

/// Whether a key is one that nobody means as data: hidden, or a temporary name of an editor, a browser or a copy.
pub fn is_ignored(key: &str) -> bool {
    key.split('/').any(|part| part.starts_with('.'))
        || [".tmp", ".part", ".partial", ".crdownload", ".swp", "~"]
            .iter()
            .any(|ending| key.ends_with(ending))
}

/// The store's key that a notice is about, if it says that something new is there. What is passed over is said in the log.
pub fn created_key(store: &Store, notice: &ObjectEvent) -> Option<String> {
    match &notice.kind {
        EventKind::Created => {}
        EventKind::Test => {
            tracing::info!("the bucket `{}` sends its notifications here", notice.bucket);
            return None;
        }
        EventKind::Removed | EventKind::Other(_) => {
            tracing::info!("passed over: {:?} of `{}`", notice.kind, notice.key);
            return None;
        }
    }
    // A person names a key of the store.
    if notice.bucket.is_empty() {
        return Some(notice.key.clone());
    }
    let Some(bucket) = store.bucket() else {
        return Some(notice.key.clone());
    };
    let key = bucket.key_of(&notice.key).filter(|_| bucket.name == notice.bucket);
    if key.is_none() {
        tracing::warn!(
            "passed over: `{}` in bucket `{}` is not in the store `{}`",
            notice.key,
            notice.bucket,
            bucket.location()
        );
    }
    key.map(str::to_owned)
}

/// What the node is to run for: the object itself, or what a committed run wrote.
pub async fn resolve_triggers(store: &Store, node: &NodeSettings, notice: &ObjectEvent) -> Result<Vec<TriggerRef>> {
    let Some(key) = created_key(store, notice) else {
        return Ok(Vec::new());
    };
    let by_person = notice.bucket.is_empty();
    match node.classify(&key) {
        KeyRole::Outcome => resolve_outcome(store, node, key).await,
        KeyRole::External if !is_ignored(&key) => Ok(vec![TriggerRef { key, depth: 0 }]),
        KeyRole::Irrelevant if by_person => Err(Error::input(format!(
            "`{key}` triggers no `{}` of `{}`, which waits for {}",
            node.stage,
            node.resource,
            node.on.iter().map(|on| format!("`{on}`")).collect::<Vec<_>>().join(", ")
        ))),
        KeyRole::Derived if by_person => Ok(vec![TriggerRef { key, depth: 0 }]),
        KeyRole::Derived => {
            tracing::debug!("passed over: `{key}` counts through the outcome that names it");
            Ok(Vec::new())
        }
        KeyRole::External | KeyRole::Irrelevant => {
            tracing::info!("passed over: `{key}` triggers no `{}` of `{}`", node.stage, node.resource);
            Ok(Vec::new())
        }
    }
}

/// Only what is done triggers: the outcome itself where the node waits for it, and what the run wrote.
async fn resolve_outcome(store: &Store, node: &NodeSettings, key: String) -> Result<Vec<TriggerRef>> {
    let bytes = match store.get(&key).await {
        Err(error) if error.kind == ErrorKind::NotFound => {
            tracing::info!("`{key}` is gone before it was read");
            return Ok(Vec::new());
        }
        other => other?,
    };
    let record: OutcomeRecord =
        serde_json::from_slice(&bytes).map_err(|e| Error::input(format!("`{key}` is not an outcome record: {e}")))?;
    if record.decision != Decision::Done {
        return Ok(Vec::new());
    }
    let outputs = record.outputs.iter().map(|output| output.key.clone());
    let keys = std::iter::once(key).chain(outputs).filter(|key| node.is_triggered_by(key));
    Ok(keys.map(|key| TriggerRef { key, depth: record.depth }).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn notice(bucket: &str, key: &str, kind: EventKind) -> ObjectEvent {
        ObjectEvent {
            bucket: bucket.into(),
            key: key.into(),
            kind,
        }
    }

    fn node() -> NodeSettings {
        serde_json::from_value(json!({
            "stage": "featurize", "resource": "m", "config": {}, "on": ["requests/m/*"],
            "derived": [{ "producer": "outcomes/retrain/m/*", "writes": ["requests/m/**"] }]
        }))
        .unwrap()
    }

    async fn outcome(store: &Store, name: &str, decision: &str) -> ObjectEvent {
        let key = format!("outcomes/retrain/m/{name}.json");
        let digest = "0".repeat(64);
        let outputs = ["decisions/m/x.json", "requests/m/x.json"].map(|key| json!({ "key": key, "digest": digest, "size": 1 }));
        let record = json!({
            "stage": "retrain", "resource": "m", "trigger": { "key": "t", "digest": digest }, "run-key": "r", "component": digest,
            "config": digest, "engines": "e", "as-of": "2013-01-01T00:00:00Z", "decision": decision, "reason": "", "findings": [],
            "result": {}, "depth": 4, "outputs": outputs,
        });
        store.create(&key, record.to_string().into_bytes().into()).await.unwrap();
        notice("b", &key, EventKind::Created)
    }

    #[tokio::test]
    async fn half_a_run_triggers_nothing() {
        let store = Store::memory();
        let caused_by = async |notice: ObjectEvent| resolve_triggers(&store, &node(), &notice).await;
        assert_eq!(caused_by(notice("b", "requests/m/x.json", EventKind::Created)).await, Ok(vec![]));
        let done = outcome(&store, "1", "done").await;
        let expected = TriggerRef {
            key: "requests/m/x.json".into(),
            depth: 4,
        };
        assert_eq!(caused_by(done).await, Ok(vec![expected]));
        let skipped = outcome(&store, "2", "skipped").await;
        assert_eq!(caused_by(skipped).await, Ok(vec![]));
        let gone = notice("b", "outcomes/retrain/m/3.json", EventKind::Created);
        assert_eq!(caused_by(gone).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn a_person_may_name_a_key() {
        let store = Store::memory();
        let caused_by = async |key: &str| resolve_triggers(&store, &node(), &notice("", key, EventKind::Created)).await;
        assert_eq!(caused_by("requests/m/x.json").await.unwrap()[0].key, "requests/m/x.json");
        let error = caused_by("raw/d/x.csv").await.unwrap_err();
        assert!(error.message.contains("waits for `requests/m/*`"), "{error}");
    }

    #[tokio::test]
    async fn removals_and_tests_are_passed_over() {
        let store = Store::memory();
        for kind in [EventKind::Removed, EventKind::Test, EventKind::Other("ObjectTagging:Put".into())] {
            assert_eq!(
                resolve_triggers(&store, &node(), &notice("b", "requests/m/x.json", kind)).await,
                Ok(vec![])
            );
        }
    }
}
