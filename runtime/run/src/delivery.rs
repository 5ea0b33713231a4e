//! From an object that causes a run to the outcome that stands: what is asked before the stage is called, and what is written after.
//! Killed between any two of these, it is done again to the same effect.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidemill_core::{
    Digest, Error, ErrorKind, Result, Trigger,
    pipeline::{Node, NodeSettings},
    record::OutcomeRecord,
    time::parse_as_of,
    trigger_id,
};
use tidemill_store::Store;

use crate::{Attempt, DeadLetter, Ledger, RunReport, TriggerRef, write_dead_letter};

/// What came of one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Disposition {
    /// An outcome stands, now or from before.
    Committed(Box<OutcomeRecord>),
    /// A dead letter stands.
    Failed(Error),
}

impl Disposition {
    /// The decision and why, as who delivered the event is told.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Committed(record) => json!({ "decision": record.decision, "reason": record.reason }),
            Self::Failed(error) => json!({ "decision": "failed", "reason": error.message }),
        }
    }
}

/// What an object was found to be.
#[derive(Debug)]
pub enum Admission {
    /// It is gone again.
    Gone,
    /// It was dealt with before.
    Settled(Disposition),
    /// The stage is to run for it.
    Admitted(Box<Delivery>),
}

/// An object that a stage is to run for.
#[derive(Debug)]
pub struct Delivery {
    time: Timestamp,
    letter: DeadLetter,
}

/// What an object that causes a run is: its digest, and the time that the run is told. Data is not held for it, only records are.
pub async fn identify_object(store: &Store, key: &str) -> Result<(Digest, Timestamp)> {
    if !key.ends_with(".json") {
        return Ok((store.digest(key).await?.digest, parse_as_of(key, &[])));
    }
    let bytes = store.get(key).await?;
    Ok((Digest::sha256(&bytes), parse_as_of(key, &bytes)))
}

impl Delivery {
    /// Looks at an object that causes a run of this node. `receives` is the number of this delivery.
    pub async fn admit(store: &Store, ledger: &Ledger, node: &NodeSettings, caused: &TriggerRef, receives: u32) -> Result<Admission> {
        let (digest, time) = match identify_object(store, &caused.key).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Admission::Gone),
            other => other?,
        };
        let trigger = Trigger {
            key: caused.key.clone(),
            digest,
        };
        let pending = Self {
            time,
            letter: DeadLetter {
                id: trigger_id(&node.stage, &node.resource, &trigger.key, &trigger.digest),
                stage: node.stage.clone(),
                resource: node.resource.clone(),
                trigger,
                kind: ErrorKind::Bug,
                message: String::new(),
                attempt: receives,
                depth: caused.depth,
                dropped: false,
            },
        };
        if let Some(record) = ledger.find(&node.stage, &node.resource, pending.id()).await? {
            return Ok(Admission::Settled(Disposition::Committed(Box::new(record))));
        }
        let letter = pending.letter.key();
        if store.head(&letter).await?.is_some() {
            return Ok(Admission::Settled(Disposition::Failed(Error::limit(format!(
                "it failed for good before: see `{letter}`, and delete that to try again"
            )))));
        }
        Ok(Admission::Admitted(Box::new(pending)))
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
        let depth = self.letter.depth;
        if depth >= settings.max_depth {
            return Err(Error::limit(format!(
                "after {depth} steps this chain of events is taken for a loop through {}; break it, or raise `max-depth` in [project]",
                node.id()
            )));
        }
        Ok(Attempt::new(node, component, self.letter.trigger.clone(), self.time, depth))
    }

    /// Writes what a run came to. An error that may pass is given back, unless the node tried often enough; else a letter says it.
    pub async fn settle(self, store: &Store, settings: &NodeSettings, result: Result<OutcomeRecord>) -> Result<Disposition> {
        match result {
            Ok(record) => Ok(Disposition::Committed(Box::new(record))),
            Err(error) if error.kind.is_retryable() && self.letter.attempt < settings.max_deliveries => Err(error),
            Err(error) => {
                let letter = DeadLetter {
                    kind: error.kind,
                    message: error.message.clone(),
                    ..self.letter
                };
                tracing::error!("{} {}, `{}`, for good: {error}", letter.stage, letter.resource, letter.trigger.key);
                write_dead_letter(store, &letter).await?;
                Ok(Disposition::Failed(error))
            }
        }
    }
}

impl Attempt {
    /// Writes how the run went, and makes its outcome final, unless its trigger has one: then that one stands.
    pub async fn commit(&self, ledger: &Ledger, ran: RunReport) -> Result<OutcomeRecord> {
        let record = ledger.settle(self.finish(ledger, ran).await?).await?;
        tracing::info!("{} {}: {:?}, {}", record.stage, record.resource, record.decision, record.reason);
        Ok(record)
    }
}
