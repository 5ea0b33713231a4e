//! Requests a run by writing an object, as a schedule or an upload does; a running flow makes it.
//!
//! A committed outcome is final. A repeated run therefore gets the same content under a new key, which is a new trigger.

use jiff::{Timestamp, Unit};
use serde::Serialize;
use tidemill_core::{
    Error, PutResult, Result,
    layout::{self, matches},
    pipeline::Node,
    record::AuditAction,
    text::quoted_list,
    trigger_id,
};
use tidemill_run::{Ledger, ScheduledEvent, list_dead_letters, retry_dead_letter, scheduled_event_key};

use crate::{Change, Control, Entry, Principal};

/// A request to run a stage.
#[derive(Debug, Clone)]
pub struct RequestRun {
    /// The stage.
    pub stage: String,
    /// The dataset or model; for an added stage its own name.
    pub resource: String,
    /// The object that triggers it; `None` for the stages that run on a schedule, such as `retrain`.
    pub key: Option<String>,
    /// Whether to run although the object has an outcome, with today's component and configuration.
    pub again: bool,
    /// Why, for the audit record and the scheduled event.
    pub reason: String,
}

/// A run that was requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestedRun {
    /// The object that triggers the run.
    pub key: String,
    /// What happens now.
    pub message: String,
}

impl RequestedRun {
    fn new(key: &str, message: &str) -> Self {
        Self {
            key: key.to_owned(),
            message: message.to_owned(),
        }
    }
}

impl Control {
    /// Requests a run. A running flow makes it; without one, the next.
    pub async fn request_run(&self, principal: &Principal, request: RequestRun) -> Result<RequestedRun> {
        let entry = Entry {
            principal,
            action: AuditAction::RequestRun,
            resource: format!("stages/{}/{}", request.stage, request.resource),
            reason: Some(&request.reason),
        };
        let change = async {
            let node = self.require_node(&request.stage, &request.resource)?;
            match &request.key {
                None => self.write_scheduled_event(principal, node, &request.reason).await,
                Some(key) => self.trigger_with(node, key, request.again).await,
            }
        };
        self.perform(entry, change).await
    }

    /// Requests a training of a model. `retrain` decides on it, as on a schedule.
    pub async fn request_training(&self, principal: &Principal, model: &str, reason: &str) -> Result<RequestedRun> {
        let request = RequestRun {
            stage: "retrain".into(),
            resource: model.to_owned(),
            key: None,
            again: false,
            reason: reason.to_owned(),
        };
        self.request_run(principal, request).await
    }

    fn require_node(&self, stage: &str, resource: &str) -> Result<&Node> {
        self.pipeline.node(stage, resource).ok_or_else(|| {
            let nodes = self.pipeline.nodes.iter().map(|node| format!("{} {}", node.stage, node.resource));
            Error::not_found(format!("there is no stage `{stage} {resource}`; there is {}", quoted_list(nodes)))
        })
    }

    async fn write_scheduled_event(&self, principal: &Principal, node: &Node, reason: &str) -> Result<Change<RequestedRun>> {
        let now = Timestamp::now();
        let now = now.round(Unit::Second).unwrap_or(now);
        let key = scheduled_event_key(&node.stage, &node.resource, now);
        if !node.is_triggered_by(&key) {
            return Err(Error::input(format!(
                "`{}` runs on an object: name one with `--key`; it is triggered by {}",
                node.stage,
                quoted_list(&node.on)
            )));
        }
        let event = ScheduledEvent {
            as_of: now,
            cause: "person".into(),
            who: Some(principal.name().to_owned()),
            why: Some(reason.to_owned()),
        };
        match self.store.create(&key, event.to_bytes()?.into()).await? {
            PutResult::Conflict => Err(Error::busy(format!("`{key}` was written in this second; repeat the request"))),
            PutResult::Written | PutResult::Unchanged => Ok(Change::new(RequestedRun::new(&key, "requested"), &None::<()>, &event)),
        }
    }

    async fn trigger_with(&self, node: &Node, key: &str, again: bool) -> Result<Change<RequestedRun>> {
        if !node.is_triggered_by(key) {
            return Err(Error::input(format!(
                "`{key}` does not trigger `{}`, which is triggered by {}",
                node.stage,
                quoted_list(&node.on)
            )));
        }
        let found = self.store.digest(key).await?;
        let id = trigger_id(&node.stage, &node.resource, key, &found.digest);
        if let Some(letter) = list_dead_letters(&self.store).await?.into_iter().find(|letter| letter.id == id) {
            retry_dead_letter(&self.store, &letter).await?;
            return Ok(Change::new(
                RequestedRun::new(key, "it failed before and is retried"),
                &letter,
                &None::<()>,
            ));
        }
        let outcome = Ledger::new(self.store.clone()).find(&node.stage, &node.resource, &id).await?;
        if outcome.is_none() {
            return Ok(Change::none(RequestedRun::new(
                key,
                "it has no outcome yet: a running flow makes the run",
            )));
        }
        if !again {
            return Err(Error::input(format!(
                "`{key}` has an outcome, which is final; `--again` runs its content once more, as a new trigger"
            )));
        }
        self.require_external(key)?;
        let (folder, name) = key.rsplit_once('/').ok_or_else(|| Error::input(format!("`{key}` has no folder")))?;
        let new = format!("{folder}/again-{}-{name}", Timestamp::now().as_second());
        self.store.create(&new, self.store.get(key).await?).await?;
        Ok(Change::new(
            RequestedRun::new(&new, "requested again, as a new trigger"),
            &key,
            &new,
        ))
    }

    /// Refuses what a stage wrote: a copy of it would enter the chain in its middle.
    fn require_external(&self, key: &str) -> Result<()> {
        let mut patterns = self.pipeline.nodes.iter().flat_map(|node| &node.writes);
        match layout::Prefix::Outcomes.contains(key) || patterns.any(|pattern| matches(pattern, key)) {
            true => Err(Error::input(format!(
                "`{key}` was written by a stage, and only that stage's next run writes another; request the stage that starts the \
                 chain, such as `tidemill run retrain <model>`, or put the data again"
            ))),
            false => Ok(()),
        }
    }
}
