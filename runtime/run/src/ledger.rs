//! The ledger: one committed outcome for each trigger, in the store. The commit is the create-only write of the outcome record.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tidemill_core::{
    Error, ErrorKind, PutResult, Result,
    layout::{self, Prefix},
    record::{OutcomeRecord, RunRecord},
    trigger_id,
};
use tidemill_store::Store;

/// Concurrent reads: a store may be far away.
const READ_CONCURRENCY: usize = 32;

/// The result of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Commit {
    /// The record is the outcome.
    New,
    /// The trigger has an earlier outcome, which is final.
    Existing(Box<OutcomeRecord>),
}

/// The outcomes in a store.
#[derive(Debug, Clone)]
pub struct Ledger {
    store: Store,
}

impl Ledger {
    /// The ledger of a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The outcome of a trigger, if it has one.
    pub async fn find(&self, stage: &str, resource: &str, trigger_id: &str) -> Result<Option<OutcomeRecord>> {
        match self.store.get_record(&layout::outcome(stage, resource, trigger_id)).await {
            Ok(bytes) => parse_outcome(&layout::outcome(stage, resource, trigger_id), &bytes).map(Some),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates the outcome of a trigger, unless it has one.
    pub async fn commit(&self, record: &OutcomeRecord) -> Result<Commit> {
        let id = trigger_id(&record.stage, &record.resource, &record.trigger.key, &record.trigger.digest);
        let key = layout::outcome(&record.stage, &record.resource, &id);
        match self.store.create(&key, to_json(&key, record)?.into()).await? {
            PutResult::Written => Ok(Commit::New),
            PutResult::Unchanged | PutResult::Conflict => Ok(Commit::Existing(Box::new(parse_outcome(
                &key,
                &self.store.get_record(&key).await?,
            )?))),
        }
    }

    /// Like [`commit`](Self::commit); returns the outcome that is final, the new or the earlier one.
    pub async fn settle(&self, record: OutcomeRecord) -> Result<OutcomeRecord> {
        Ok(match self.commit(&record).await? {
            Commit::New => record,
            Commit::Existing(earlier) => *earlier,
        })
    }

    /// Lists outcomes in the order of their keys, of one stage or all, of one resource or all.
    pub async fn list_outcomes(&self, stage: Option<&str>, resource: Option<&str>) -> Result<Vec<OutcomeRecord>> {
        let prefix = match (stage, resource) {
            (Some(stage), Some(resource)) => layout::outcome_prefix(stage, resource),
            (Some(stage), None) => Prefix::Outcomes.under(stage),
            (None, _) => Prefix::Outcomes.root(),
        };
        let listed = self.store.list(&prefix, None, usize::MAX).await?;
        let about = listed.into_iter().filter(|meta| is_for_resource(&meta.key, resource));
        let each = about.map(|meta| async move { parse_outcome(&meta.key, &self.store.get_record(&meta.key).await?) });
        stream::iter(each).buffered(READ_CONCURRENCY).try_collect().await
    }

    /// Writes the record of a run, over that of an earlier attempt.
    pub async fn record_run(&self, record: &RunRecord, trigger_id: &str) -> Result<()> {
        let key = layout::run(&record.stage, &record.resource, trigger_id);
        self.store.replace(&key, to_json(&key, record)?.into()).await
    }
}

fn is_for_resource(key: &str, resource: Option<&str>) -> bool {
    resource.is_none_or(|resource| key.split('/').nth(2) == Some(resource))
}

/// A record as it is stored; `name` is that of the record in a message.
pub(crate) fn to_json(name: &str, value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| Error::bug(format!("{name} cannot be written as JSON: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn parse_outcome(key: &str, bytes: &[u8]) -> Result<OutcomeRecord> {
    serde_json::from_slice(bytes).map_err(|e| {
        Error::input(format!(
            "`{key}` is not an outcome record: {e}; restore it, or remove it so that the run is made again"
        ))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tidemill_core::{Decision, Digest, Trigger};

    use super::*;

    fn record(resource: &str, reason: &str) -> OutcomeRecord {
        OutcomeRecord {
            stage: "validate".into(),
            resource: resource.into(),
            trigger: Trigger {
                key: "raw/flights/a.csv".into(),
                digest: Digest::sha256(b"a"),
            },
            run_key: "0".repeat(32),
            component: Digest::sha256(b"c"),
            config: Digest::sha256(b"{}"),
            engines: crate::ENGINES.into(),
            as_of: jiff::Timestamp::UNIX_EPOCH,
            decision: Decision::Done,
            reason: reason.into(),
            findings: vec![],
            error: None,
            result: serde_json::json!({}),
            outputs: vec![],
            depth: 1,
        }
    }

    #[tokio::test]
    async fn the_first_outcome_is_final() {
        let ledger = Ledger::new(Store::memory());
        let (first, second) = (record("flights", "first"), record("flights", "second"));
        let id = trigger_id("validate", "flights", &first.trigger.key, &first.trigger.digest);
        assert_eq!(ledger.find("validate", "flights", &id).await, Ok(None));
        assert_eq!(ledger.commit(&first).await, Ok(Commit::New));
        assert_eq!(ledger.commit(&second).await, Ok(Commit::Existing(Box::new(first.clone()))));
        assert_eq!(ledger.commit(&first).await, Ok(Commit::Existing(Box::new(first.clone()))));
        assert_eq!(ledger.find("validate", "flights", &id).await, Ok(Some(first.clone())));
        let other = record("hotels", "other");
        assert_eq!(ledger.commit(&other).await, Ok(Commit::New));
        assert_eq!(ledger.list_outcomes(None, None).await, Ok(vec![first, other.clone()]));
        assert_eq!(ledger.list_outcomes(None, Some("hotels")).await, Ok(vec![other.clone()]));
        assert_eq!(ledger.list_outcomes(Some("validate"), Some("hotels")).await, Ok(vec![other]));
        assert_eq!(ledger.list_outcomes(Some("train"), None).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn a_damaged_record_is_named() {
        let store = Store::memory();
        assert_eq!(
            store.create("outcomes/a/b/c.json", Bytes::from_static(b"{")).await,
            Ok(PutResult::Written)
        );
        let error = Ledger::new(store).find("a", "b", "c").await.unwrap_err();
        assert!(error.message.contains("`outcomes/a/b/c.json` is not an outcome record"), "{error}");
    }
}
