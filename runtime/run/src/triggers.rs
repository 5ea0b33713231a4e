//! From an object event to the objects that trigger a node.

use tidemill_core::{
    Decision, Digest, Error, ErrorKind, Result,
    layout::is_ignored,
    notification::{EventKind, ObjectEvent},
    pipeline::{KeyRole, NodeSettings},
    record::OutcomeRecord,
};
use tidemill_store::Store;

/// An object that triggers a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerRef {
    /// Its key.
    pub key: String,
    /// Steps since a user or a schedule wrote something.
    pub depth: u32,
    /// SHA-256 of the content that the event is about, if the source knows it.
    pub digest: Option<Digest>,
}

impl TriggerRef {
    /// The object as it is when it is read.
    pub fn new(key: impl Into<String>, depth: u32) -> Self {
        Self {
            key: key.into(),
            depth,
            digest: None,
        }
    }
}

/// The key in the store of an object that was created, as the event says. Other events are logged and skipped. A folder has no bucket name
/// to compare with, so every event names a key of it.
pub fn created_key(store: &Store, event: &ObjectEvent) -> Option<String> {
    match &event.kind {
        EventKind::Created => {}
        EventKind::Test => {
            tracing::info!("the bucket `{}` sends its notifications here", event.bucket);
            return None;
        }
        EventKind::Removed | EventKind::Other(_) => {
            tracing::info!("skipped: {:?} of `{}`", event.kind, event.key);
            return None;
        }
    }
    // A user names a key of the store.
    if event.bucket.is_empty() {
        return Some(event.key.clone());
    }
    let Some(bucket) = store.bucket() else {
        return Some(event.key.clone());
    };
    let key = bucket.key_of(&event.key).filter(|_| bucket.name == event.bucket);
    if key.is_none() {
        tracing::warn!(
            "skipped: `{}` in bucket `{}` is not in the store `{}`",
            event.key,
            event.bucket,
            bucket.location()
        );
    }
    key.map(str::to_owned)
}

/// The objects that trigger the node: the object itself, or what a committed run wrote.
pub async fn resolve_triggers(store: &Store, node: &NodeSettings, event: &ObjectEvent) -> Result<Vec<TriggerRef>> {
    let Some(key) = created_key(store, event) else {
        return Ok(Vec::new());
    };
    let is_by_user = event.bucket.is_empty();
    match node.classify(&key) {
        KeyRole::Outcome => resolve_outcome(store, node, key).await,
        KeyRole::External if !is_ignored(&key) => Ok(vec![TriggerRef::new(key, 0)]),
        KeyRole::Irrelevant if is_by_user => Err(Error::input(format!(
            "`{key}` triggers no `{}` of `{}`, which waits for {}",
            node.stage,
            node.resource,
            node.on.iter().map(|on| format!("`{on}`")).collect::<Vec<_>>().join(", ")
        ))),
        KeyRole::Derived if is_by_user => Ok(vec![TriggerRef::new(key, 0)]),
        KeyRole::Derived => {
            tracing::debug!("skipped: `{key}` counts through the outcome that names it");
            Ok(Vec::new())
        }
        KeyRole::External | KeyRole::Irrelevant => {
            tracing::info!("skipped: `{key}` triggers no `{}` of `{}`", node.stage, node.resource);
            Ok(Vec::new())
        }
    }
}

/// The objects that count through an outcome, if it is `done`: the record itself, whose key this is, and what the run wrote, with the
/// digests that the record names.
pub fn outcome_objects<'a>(key: &'a str, record: &'a OutcomeRecord) -> impl Iterator<Item = (&'a str, Option<&'a Digest>)> {
    let outputs = record.outputs.iter().map(|output| (output.key.as_str(), Some(&output.digest)));
    let objects = std::iter::once((key, None)).chain(outputs);
    objects.filter(move |_| record.decision == Decision::Done)
}

/// The objects of an outcome that trigger the node.
async fn resolve_outcome(store: &Store, node: &NodeSettings, key: String) -> Result<Vec<TriggerRef>> {
    let bytes = match store.get_record(&key).await {
        Err(error) if error.kind == ErrorKind::NotFound => {
            tracing::info!("`{key}` was deleted before it was read");
            return Ok(Vec::new());
        }
        other => other?,
    };
    let record: OutcomeRecord =
        serde_json::from_slice(&bytes).map_err(|e| Error::input(format!("`{key}` is not an outcome record: {e}")))?;
    let objects = outcome_objects(&key, &record).filter(|(key, _)| node.is_triggered_by(key));
    Ok(objects.map(|(key, _)| TriggerRef::new(key, record.depth)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(bucket: &str, key: &str, kind: EventKind) -> ObjectEvent {
        ObjectEvent {
            bucket: bucket.into(),
            key: key.into(),
            kind,
        }
    }

    fn node() -> NodeSettings {
        serde_json::from_value(json!({
            "stage": "featurize", "resource": "m", "config": {}, "on": ["requests/m/*"],
            "derived": [{ "producer": "outcomes/retrain/m/*", "outputs": ["requests/m/**"] }]
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
        event("b", &key, EventKind::Created)
    }

    #[tokio::test]
    async fn half_a_run_triggers_nothing() {
        let store = Store::memory();
        let triggers_of = async |event: ObjectEvent| resolve_triggers(&store, &node(), &event).await;
        assert_eq!(triggers_of(event("b", "requests/m/x.json", EventKind::Created)).await, Ok(vec![]));
        let done = outcome(&store, "1", "done").await;
        let expected = TriggerRef::new("requests/m/x.json", 4);
        assert_eq!(triggers_of(done).await, Ok(vec![expected]));
        let skipped = outcome(&store, "2", "skipped").await;
        assert_eq!(triggers_of(skipped).await, Ok(vec![]));
        let gone = event("b", "outcomes/retrain/m/3.json", EventKind::Created);
        assert_eq!(triggers_of(gone).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn a_user_may_name_a_key() {
        let store = Store::memory();
        let triggers_of = async |key: &str| resolve_triggers(&store, &node(), &event("", key, EventKind::Created)).await;
        assert_eq!(triggers_of("requests/m/x.json").await.unwrap()[0].key, "requests/m/x.json");
        let error = triggers_of("raw/d/x.csv").await.unwrap_err();
        assert!(error.message.contains("waits for `requests/m/*`"), "{error}");
    }

    #[tokio::test]
    async fn removals_and_tests_are_skipped() {
        let store = Store::memory();
        for kind in [EventKind::Removed, EventKind::Test, EventKind::Other("ObjectTagging:Put".into())] {
            assert_eq!(
                resolve_triggers(&store, &node(), &event("b", "requests/m/x.json", kind)).await,
                Ok(vec![])
            );
        }
    }

    #[test]
    fn only_objects_of_the_own_bucket_count() {
        let settings = [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
        ];
        let bucket = Store::open_with("s3://tide/mill", &settings).unwrap();
        let key = |bucket_name: &str, key: &str, kind| created_key(&bucket, &event(bucket_name, key, kind));
        assert_eq!(key("tide", "mill/raw/a b.csv", EventKind::Created).as_deref(), Some("raw/a b.csv"));
        assert_eq!(key("tide", "raw/a.csv", EventKind::Created), None);
        assert_eq!(key("tides", "mill/raw/a.csv", EventKind::Created), None);
        assert_eq!(key("tide", "mill/raw/a.csv", EventKind::Removed), None);
        assert_eq!(key("", "raw/a.csv", EventKind::Created).as_deref(), Some("raw/a.csv"));
        let folder = Store::memory();
        let in_folder = created_key(&folder, &event("tide", "raw/a.csv", EventKind::Created));
        assert_eq!(in_folder.as_deref(), Some("raw/a.csv"));
    }
}
