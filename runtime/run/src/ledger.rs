//! The ledger: one committed outcome for each trigger, in the store. The commit is the create-only write of the outcome record.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tidemill_core::{
    Error, ErrorKind, Put, Result,
    record::{OutcomeRecord, RunRecord},
    trigger_id,
};
use tidemill_store::Store;

/// Records that are read at once: a store may be far away.
const AT_ONCE: usize = 32;

/// What a commit did.
#[derive(Debug, Clone, PartialEq)]
pub enum Commit {
    /// This record now stands.
    New,
    /// An earlier run's record stands, and is final.
    Already(Box<OutcomeRecord>),
}

/// The outcomes in a store.
#[derive(Debug, Clone)]
pub struct Ledger {
    store: Store,
}

impl Ledger {
    /// The ledger that a store holds.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The outcome of a trigger, if it has one.
    pub async fn find(&self, stage: &str, subject: &str, trigger_id: &str) -> Result<Option<OutcomeRecord>> {
        match self.store.get(&outcome_key(stage, subject, trigger_id)).await {
            Ok(bytes) => read(&outcome_key(stage, subject, trigger_id), &bytes).map(Some),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the outcome final, unless its trigger has one: then that one stands.
    pub async fn commit(&self, record: &OutcomeRecord) -> Result<Commit> {
        let id = trigger_id(&record.stage, &record.subject, &record.trigger.key, &record.trigger.digest);
        let key = outcome_key(&record.stage, &record.subject, &id);
        match self.store.create(&key, json(&key, record)?).await? {
            Put::Written => Ok(Commit::New),
            Put::Unchanged | Put::Conflict => Ok(Commit::Already(Box::new(read(&key, &self.store.get(&key).await?)?))),
        }
    }

    /// Makes the outcome final and returns it, or the earlier one that stands.
    pub async fn settle(&self, record: OutcomeRecord) -> Result<OutcomeRecord> {
        Ok(match self.commit(&record).await? {
            Commit::New => record,
            Commit::Already(earlier) => *earlier,
        })
    }

    /// All outcomes, of one stage or of all, about one subject or about all, in the order of their keys.
    pub async fn outcomes(&self, stage: Option<&str>, subject: Option<&str>) -> Result<Vec<OutcomeRecord>> {
        let prefix = match (stage, subject) {
            (Some(stage), Some(subject)) => format!("outcomes/{stage}/{subject}/"),
            (Some(stage), None) => format!("outcomes/{stage}/"),
            (None, _) => "outcomes/".to_owned(),
        };
        let listed = self.store.list(&prefix, None, usize::MAX).await?;
        let about = listed.into_iter().filter(|meta| is_about(&meta.key, subject));
        let each = about.map(|meta| async move { read(&meta.key, &self.store.get(&meta.key).await?) });
        stream::iter(each).buffered(AT_ONCE).try_collect().await
    }

    /// Writes how a run went; the last attempt's record stands.
    pub async fn record_run(&self, record: &RunRecord, trigger_id: &str) -> Result<()> {
        let key = format!("runs/{}/{}/{trigger_id}.json", record.stage, record.subject);
        self.store.replace(&key, json(&key, record)?).await
    }
}

/// Where the outcome of a trigger stands.
fn outcome_key(stage: &str, subject: &str, trigger_id: &str) -> String {
    format!("outcomes/{stage}/{subject}/{trigger_id}.json")
}

fn is_about(key: &str, subject: Option<&str>) -> bool {
    subject.is_none_or(|subject| key.split('/').nth(2) == Some(subject))
}

fn json(key: &str, value: &impl serde::Serialize) -> Result<Bytes> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| Error::bug(format!("`{key}` cannot be written as JSON: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

fn read(key: &str, bytes: &[u8]) -> Result<OutcomeRecord> {
    serde_json::from_slice(bytes).map_err(|e| {
        Error::input(format!(
            "`{key}` is not an outcome record: {e}; restore it, or remove it so that the run is made again"
        ))
    })
}

#[cfg(test)]
mod tests {
    use tidemill_core::{Decision, Digest, Trigger};

    use super::*;

    fn record(subject: &str, reason: &str) -> OutcomeRecord {
        OutcomeRecord {
            stage: "validate".into(),
            subject: subject.into(),
            trigger: Trigger {
                key: "raw/flights/a.csv".into(),
                digest: Digest::of(b"a"),
            },
            run_key: "0".repeat(32),
            component: Digest::of(b"c"),
            config: Digest::of(b"{}"),
            engines: crate::ENGINES.into(),
            as_of: jiff::Timestamp::UNIX_EPOCH,
            decision: Decision::Done,
            reason: reason.into(),
            findings: vec![],
            error: None,
            facts: serde_json::json!({}),
            outputs: vec![],
            hops: 1,
        }
    }

    #[tokio::test]
    async fn the_first_outcome_is_final() {
        let ledger = Ledger::new(Store::memory());
        let (first, second) = (record("flights", "first"), record("flights", "second"));
        let id = trigger_id("validate", "flights", &first.trigger.key, &first.trigger.digest);
        assert_eq!(ledger.find("validate", "flights", &id).await, Ok(None));
        assert_eq!(ledger.commit(&first).await, Ok(Commit::New));
        assert_eq!(ledger.commit(&second).await, Ok(Commit::Already(Box::new(first.clone()))));
        assert_eq!(ledger.commit(&first).await, Ok(Commit::Already(Box::new(first.clone()))));
        assert_eq!(ledger.find("validate", "flights", &id).await, Ok(Some(first.clone())));
        let other = record("hotels", "other");
        assert_eq!(ledger.commit(&other).await, Ok(Commit::New));
        assert_eq!(ledger.outcomes(None, None).await, Ok(vec![first, other.clone()]));
        assert_eq!(ledger.outcomes(None, Some("hotels")).await, Ok(vec![other.clone()]));
        assert_eq!(ledger.outcomes(Some("validate"), Some("hotels")).await, Ok(vec![other]));
        assert_eq!(ledger.outcomes(Some("train"), None).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn a_damaged_record_is_named() {
        let store = Store::memory();
        assert_eq!(
            store.create("outcomes/a/b/c.json", Bytes::from_static(b"{")).await,
            Ok(Put::Written)
        );
        let error = Ledger::new(store).find("a", "b", "c").await.unwrap_err();
        assert!(error.message.contains("`outcomes/a/b/c.json` is not an outcome record"), "{error}");
    }
}
