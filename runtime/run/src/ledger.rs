//! The ledger: one committed outcome for each trigger, in the store. The commit is the create-only write of the outcome record.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tidemill_core::{
    Error, ErrorKind, PutResult, Result,
    layout::{self, Key, Prefix},
    record::{OutcomeRecord, RunRecord},
    trigger_id,
};
use tidemill_store::{MAX_RECORD_SIZE, Store};

use crate::warn_passed_over;

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
        let bytes = to_json(&key, record)?;
        if bytes.len() as u64 > MAX_RECORD_SIZE {
            return Err(Error::limit(format!(
                "the outcome of {} for `{}` has {} bytes, and a record may have {MAX_RECORD_SIZE}; the stage must write what is large as an \
                 object of its own",
                record.stage,
                record.trigger.key,
                bytes.len()
            )));
        }
        match self.store.create(&key, bytes.into()).await? {
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

    /// Like [`find`](Self::find) for an id that was listed: `None`, with a warning, if the object is damaged or no outcome.
    pub async fn find_readable(&self, stage: &str, resource: &str, trigger_id: &str) -> Result<Option<OutcomeRecord>> {
        match self.find(stage, resource, trigger_id).await {
            Err(error) if !error.kind.is_retryable() => {
                warn_passed_over(&layout::outcome(stage, resource, trigger_id), &error);
                Ok(None)
            }
            other => other,
        }
    }

    /// Lists outcomes in the order of their keys, of one stage or all, of one resource or all. What is no outcome, or damaged, is passed
    /// over.
    pub async fn list_outcomes(&self, stage: Option<&str>, resource: Option<&str>) -> Result<Vec<OutcomeRecord>> {
        let prefix = match (stage, resource) {
            (Some(stage), Some(resource)) => layout::outcome_prefix(stage, resource),
            (Some(stage), None) => Prefix::Outcomes.under(stage),
            (None, _) => Prefix::Outcomes.root(),
        };
        let listed = self.store.list(&prefix, None, usize::MAX).await?;
        let each = listed.into_iter().filter_map(|meta| match Key::parse(&meta.key) {
            Some(Key::Outcome { stage, resource: of, id }) if resource.is_none_or(|resource| resource == of) => {
                let (stage, of, id) = (stage.to_owned(), of.to_owned(), id.to_owned());
                Some(async move { self.find_readable(&stage, &of, &id).await })
            }
            _ => None,
        });
        let found: Vec<Option<OutcomeRecord>> = stream::iter(each).buffered(READ_CONCURRENCY).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Writes the record of a run, over that of an earlier attempt.
    pub async fn record_run(&self, record: &RunRecord, trigger_id: &str) -> Result<()> {
        let key = layout::run(&record.stage, &record.resource, trigger_id);
        self.store.replace(&key, to_json(&key, record)?.into()).await
    }
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

    #[tokio::test]
    async fn strays_and_damaged_records_hide_no_other() {
        let store = Store::memory();
        let ledger = Ledger::new(store.clone());
        let record = record("flights", "first");
        ledger.commit(&record).await.unwrap();
        for stray in [".DS_Store", "note.txt", "note.json", "folder/note.json"] {
            store
                .create(&format!("outcomes/validate/flights/{stray}"), Bytes::from_static(b"x"))
                .await
                .unwrap();
        }
        assert_eq!(ledger.list_outcomes(None, None).await, Ok(vec![record.clone()]));
        assert_eq!(ledger.list_outcomes(Some("validate"), Some("flights")).await, Ok(vec![record]));
    }
}
