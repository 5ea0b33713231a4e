//! From an object that causes a run to the outcome that stands: what is asked before the stage is called, and what is written after.
//! Killed between any two of these, it is done again to the same effect.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidemill_core::{
    Digest, Error, ErrorKind, Result, Trigger,
    pipeline::{Node, NodeSettings},
    record::OutcomeRecord,
    time::as_of,
    trigger_id,
};
use tidemill_store::Store;

use crate::{Attempt, Caused, DeadLetter, Ledger, Ran, write_letter};

/// What came of one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Came {
    /// An outcome stands, now or from before.
    Decided(Box<OutcomeRecord>),
    /// A dead letter stands.
    Failed(Error),
}

impl Came {
    /// The decision and why, as who delivered the event is told.
    pub fn json(&self) -> Value {
        match self {
            Self::Decided(record) => json!({ "decision": record.decision, "reason": record.reason }),
            Self::Failed(error) => json!({ "decision": "failed", "reason": error.message }),
        }
    }
}

/// What an object was found to be.
#[derive(Debug)]
pub enum Met {
    /// It is gone again.
    Gone,
    /// It was dealt with before.
    Before(Came),
    /// The stage is to run for it.
    New(Box<Pending>),
}

/// An object that a stage is to run for.
#[derive(Debug)]
pub struct Pending {
    time: Timestamp,
    letter: DeadLetter,
}

/// What an object that causes a run is: its digest, and the time that the run is told. Data is not held for it, only records are.
pub async fn identify(store: &Store, key: &str) -> Result<(Digest, Timestamp)> {
    if !key.ends_with(".json") {
        return Ok((store.digest(key).await?.digest, as_of(key, &[])));
    }
    let bytes = store.get(key).await?;
    Ok((Digest::of(&bytes), as_of(key, &bytes)))
}

impl Pending {
    /// Looks at an object that causes a run of this node. `receives` is the number of this delivery.
    pub async fn meet(store: &Store, ledger: &Ledger, node: &NodeSettings, caused: &Caused, receives: u32) -> Result<Met> {
        let (digest, time) = match identify(store, &caused.key).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Met::Gone),
            other => other?,
        };
        let trigger = Trigger {
            key: caused.key.clone(),
            digest,
        };
        let pending = Self {
            time,
            letter: DeadLetter {
                id: trigger_id(&node.stage, &node.subject, &trigger.key, &trigger.digest),
                stage: node.stage.clone(),
                subject: node.subject.clone(),
                trigger,
                kind: ErrorKind::Bug,
                message: String::new(),
                attempt: receives,
                hops: caused.hops,
                dropped: false,
            },
        };
        if let Some(record) = ledger.find(&node.stage, &node.subject, pending.id()).await? {
            return Ok(Met::Before(Came::Decided(Box::new(record))));
        }
        let letter = pending.letter.key();
        if store.head(&letter).await?.is_some() {
            return Ok(Met::Before(Came::Failed(Error::limit(format!(
                "it failed for good before: see `{letter}`, and delete that to try again"
            )))));
        }
        Ok(Met::New(Box::new(pending)))
    }

    /// Names the outcome.
    pub fn id(&self) -> &str {
        &self.letter.id
    }

    /// The object.
    pub fn key(&self) -> &str {
        &self.letter.trigger.key
    }

    /// The attempt to make, with the component of this digest; `Limit` where the chain of events is taken for a loop.
    pub fn attempt(&self, settings: &NodeSettings, node: &Node, component: Digest) -> Result<Attempt> {
        let hops = self.letter.hops;
        if hops >= settings.hop_limit {
            return Err(Error::limit(format!(
                "after {hops} steps this chain of events is taken for a loop through {}; break it, or raise `hop-limit` in [project]",
                node.id()
            )));
        }
        Ok(Attempt::new(node, component, self.letter.trigger.clone(), self.time, hops))
    }

    /// Writes what a run came to. An error that may pass is given back, unless the node tried often enough; else a letter says it.
    pub async fn settle(self, store: &Store, settings: &NodeSettings, result: Result<OutcomeRecord>) -> Result<Came> {
        match result {
            Ok(record) => Ok(Came::Decided(Box::new(record))),
            Err(error) if error.kind.is_retried() && self.letter.attempt < settings.tries => Err(error),
            Err(error) => {
                let letter = DeadLetter {
                    kind: error.kind,
                    message: error.message.clone(),
                    ..self.letter
                };
                tracing::error!("{} {}, `{}`, for good: {error}", letter.stage, letter.subject, letter.trigger.key);
                write_letter(store, &letter).await?;
                Ok(Came::Failed(error))
            }
        }
    }
}

impl Attempt {
    /// Writes how the run went, and makes its outcome final, unless its trigger has one: then that one stands.
    pub async fn commit(&self, ledger: &Ledger, ran: Ran) -> Result<OutcomeRecord> {
        let record = ledger.settle(self.close(ledger, ran).await?).await?;
        tracing::info!("{} {}: {:?}, {}", record.stage, record.subject, record.decision, record.reason);
        Ok(record)
    }
}
