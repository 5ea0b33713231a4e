//! Admission of an event and its disposition: the steps before and after a run that every transport takes.
//!
//! The local flow, SQS on Lambda and HTTP on Spin all call [`Delivery::admit`] before a stage and [`Delivery::settle`] after it. A process
//! that is killed between any two steps repeats them to the same effect.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidemill_core::{
    Digest, Error, ErrorKind, Result, Trigger, layout,
    pipeline::{Node, NodeSettings},
    record::OutcomeRecord,
    text::truncate,
    time::parse_as_of,
    trigger_id,
};
use tidemill_store::Store;

use crate::{Attempt, Budget, DeadLetter, Ledger, TriggerRef, note_unjudged_window, training_order, write_dead_letter};

/// After this many deliveries that ended the process there is no further one: the trigger gets a dead letter instead.
const MAX_UNFINISHED: u32 = 2;

/// Characters of an error that a dead letter holds: a stage may put anything into its message.
const MAX_MESSAGE_LENGTH: usize = 10_000;

/// The state that a delivery is decided over.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryContext<'a> {
    /// The objects.
    pub store: &'a Store,
    /// The outcomes in the store.
    pub ledger: &'a Ledger,
    /// Trainings that were started.
    pub budget: &'a Budget,
    /// The node that the event triggers.
    pub node: &'a NodeSettings,
}

/// How often an event was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryCount {
    /// The number of this run for run records and dead letters, from 1.
    pub attempt: u32,
    /// Failed deliveries that count against `max-deliveries`.
    pub failures: u32,
    /// Deliveries before this one that did not come back: the process ended meanwhile.
    pub unfinished: u32,
}

impl DeliveryCount {
    /// The count of a queue that numbers its deliveries from 1. It does not say how the ones before ended.
    pub fn from_receive_count(count: u32) -> Self {
        Self {
            attempt: count,
            failures: count.saturating_sub(1),
            unfinished: 0,
        }
    }
}

/// The result of admitting an event.
#[derive(Debug)]
pub enum Admission {
    /// The object does not exist any more.
    Gone,
    /// The object has other content than the event says: its digest now.
    Changed(Digest),
    /// The trigger has an outcome or a dead letter.
    Settled(Disposition),
    /// The run has to wait. This is not a failure, however often it happens.
    Waiting(Wait),
    /// The stage is to run.
    Admitted(Box<Delivery>),
}

/// The reason why a run has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// The model's trainings of the day are used up.
    Budget {
        /// The start of the next day.
        until: Timestamp,
    },
    /// An earlier training of the model is not finished.
    Training {
        /// The key of the earlier request.
        request: String,
        /// The stage that has no outcome yet.
        stage: &'static str,
    },
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Budget { until } => write!(f, "the daily budget of trainings is used up until {until}"),
            Self::Training { request, stage } => write!(
                f,
                "waits for `{stage}` of the training for `{request}`: trainings of a model run one after the other"
            ),
        }
    }
}

/// The final result of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Disposition {
    /// The trigger has an outcome, from this delivery or an earlier one.
    Committed(Box<OutcomeRecord>),
    /// The event failed for good, in this delivery or an earlier one.
    Failed {
        /// What the sender of the event is told.
        error: Error,
        /// The dead letter in the store.
        letter: Box<DeadLetter>,
    },
}

impl Disposition {
    /// The decision and its reason, for the sender of the event.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Committed(record) => json!({ "decision": record.decision, "reason": record.reason }),
            Self::Failed { error, .. } => json!({ "decision": "failed", "reason": error.message }),
        }
    }
}

/// An event that was admitted: its stage is to run.
#[derive(Debug)]
pub struct Delivery {
    /// Names the outcome.
    id: String,
    trigger: Trigger,
    as_of: Timestamp,
    depth: u32,
    count: DeliveryCount,
}

/// The digest of an object, and the `as-of` time of a run that it triggers. Only what may be a record is read into memory, data is not.
pub async fn identify_object(store: &Store, key: &str) -> Result<(Digest, Timestamp)> {
    if key.ends_with(".json") {
        match store.get_record(key).await {
            Ok(bytes) => return Ok((Digest::sha256(&bytes), parse_as_of(key, &bytes))),
            // A record is never so large.
            Err(error) if error.kind == ErrorKind::Limit => {}
            Err(error) => return Err(error),
        }
    }
    Ok((store.digest(key).await?.digest, parse_as_of(key, &[])))
}

impl Delivery {
    /// Decides whether the node runs for the trigger.
    ///
    /// # Errors
    /// The event is to be delivered again. An error that does not pass becomes a dead letter instead, as soon as the content is known.
    pub async fn admit(context: DeliveryContext<'_>, trigger: &TriggerRef, count: DeliveryCount) -> Result<Admission> {
        if let Some(digest) = &trigger.digest {
            let known = Self::new(context.node, trigger, digest.clone(), count);
            match known.find_disposition(context).await {
                Ok(Some(disposition)) => return Ok(Admission::Settled(disposition)),
                // Before the object is read: that may be what ends the process.
                Ok(None) => {
                    if let Err(error) = known.check_unfinished(context.node) {
                        return known.settle(context, Err(error)).await.map(Admission::Settled);
                    }
                }
                Err(error) => return known.settle(context, Err(error)).await.map(Admission::Settled),
            }
        }
        let (digest, as_of) = match identify_object(context.store, &trigger.key).await {
            Ok(identified) => identified,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Admission::Gone),
            Err(error) => match &trigger.digest {
                Some(digest) if !error.kind.is_retryable() => {
                    let known = Self::new(context.node, trigger, digest.clone(), count);
                    return known.settle(context, Err(error)).await.map(Admission::Settled);
                }
                _ => return Err(error),
            },
        };
        if trigger.digest.as_ref().is_some_and(|expected| *expected != digest) {
            return Ok(Admission::Changed(digest));
        }
        let mut delivery = Self::new(context.node, trigger, digest, count);
        delivery.as_of = as_of;
        match delivery.check(context, trigger.digest.is_none()).await {
            Ok(None) => Ok(Admission::Admitted(Box::new(delivery))),
            Ok(Some(admission)) => Ok(admission),
            Err(error) => delivery.settle(context, Err(error)).await.map(Admission::Settled),
        }
    }

    fn new(node: &NodeSettings, trigger: &TriggerRef, digest: Digest, count: DeliveryCount) -> Self {
        Self {
            id: trigger_id(&node.stage, &node.resource, &trigger.key, &digest),
            trigger: Trigger {
                key: trigger.key.clone(),
                digest,
            },
            as_of: Timestamp::UNIX_EPOCH,
            depth: trigger.depth,
            count,
        }
    }

    /// Everything but the run itself: `None` if the stage is to run.
    async fn check(&self, context: DeliveryContext<'_>, is_new: bool) -> Result<Option<Admission>> {
        if is_new && let Some(disposition) = self.find_disposition(context).await? {
            return Ok(Some(Admission::Settled(disposition)));
        }
        let (node, depth) = (context.node, self.depth);
        self.check_unfinished(node)?;
        if depth >= node.max_depth {
            return Err(Error::limit(format!(
                "after {depth} steps this chain of events is taken for a loop through {}:{}; break it, or raise `max-depth` in [project]",
                node.stage, node.resource
            )));
        }
        let policy = node.policy();
        if policy.training.is_none() && !policy.counts_against_budget {
            return Ok(None);
        }
        let wait = training_order::find_wait(context, policy, &self.trigger.key, &self.id).await?;
        Ok(wait.map(Admission::Waiting))
    }

    /// What ended the process again and again is not tried once more.
    fn check_unfinished(&self, node: &NodeSettings) -> Result<()> {
        if self.count.unfinished < MAX_UNFINISHED {
            return Ok(());
        }
        Err(Error::limit(format!(
            "{} deliveries of this event to {}:{} had no answer: the process ended while it worked on `{}`, most often for want of \
             memory; give it more, or replace the object, then try the event again",
            self.count.unfinished, node.stage, node.resource, self.trigger.key
        )))
    }

    async fn find_disposition(&self, context: DeliveryContext<'_>) -> Result<Option<Disposition>> {
        let node = context.node;
        if let Some(record) = self.find_outcome(context).await? {
            return Ok(Some(Disposition::Committed(Box::new(record))));
        }
        let key = layout::dead_letter(&node.stage, &node.resource, &self.id);
        let stored = match context.store.get_record(&key).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let error = Error::limit(format!("the event failed for good before: see `{key}`, and delete it to try again"));
        let letter = serde_json::from_slice(&stored).unwrap_or_else(|_| self.dead_letter(node, &error));
        let letter = Box::new(letter);
        Ok(Some(Disposition::Failed { error, letter }))
    }

    async fn find_outcome(&self, context: DeliveryContext<'_>) -> Result<Option<OutcomeRecord>> {
        let node = context.node;
        context.ledger.find(&node.stage, &node.resource, &self.id).await
    }

    fn dead_letter(&self, node: &NodeSettings, error: &Error) -> DeadLetter {
        DeadLetter {
            id: self.id.clone(),
            stage: node.stage.clone(),
            resource: node.resource.clone(),
            trigger: self.trigger.clone(),
            kind: error.kind,
            message: truncate(&error.message, MAX_MESSAGE_LENGTH),
            attempt: self.count.attempt,
            depth: self.depth,
            dropped: false,
        }
    }

    /// The number of the run, from 1.
    pub fn attempt_number(&self) -> u32 {
        self.count.attempt
    }

    /// The attempt to make with the component of this digest.
    pub fn attempt(&self, node: &Node, component: Digest) -> Attempt {
        Attempt::new(node, component, self.trigger.clone(), self.as_of, self.depth)
    }

    /// Writes the result of a run. A retryable error is returned until the node's `max-deliveries` is reached, and as long as the store
    /// does not answer; any other error becomes a dead letter.
    pub async fn settle(self, context: DeliveryContext<'_>, result: Result<OutcomeRecord>) -> Result<Disposition> {
        let error = match result {
            Ok(record) => return Ok(Disposition::Committed(Box::new(record))),
            Err(error) => error,
        };
        let is_last = self.count.failures + 1 >= context.node.max_deliveries;
        if error.kind.is_retryable() && (!is_last || self.is_store_unavailable(context).await) {
            return Err(error);
        }
        // Another delivery of the same event may have committed meanwhile.
        if let Ok(Some(record)) = self.find_outcome(context).await {
            return Ok(Disposition::Committed(Box::new(record)));
        }
        let letter = self.dead_letter(context.node, &error);
        tracing::error!("{} {} failed for `{}`: {error}", letter.stage, letter.resource, letter.trigger.key);
        // Before the letter: after it, nobody comes back to this event.
        note_unjudged_window(context.store, &letter).await?;
        let letter = Box::new(write_dead_letter(context.store, &letter).await?);
        Ok(Disposition::Failed { error, letter })
    }

    /// A store that does not answer is no event's fault, however long that lasts.
    async fn is_store_unavailable(&self, context: DeliveryContext<'_>) -> bool {
        let found = self.find_outcome(context).await;
        found.is_err_and(|error| error.kind.is_retryable())
    }
}
