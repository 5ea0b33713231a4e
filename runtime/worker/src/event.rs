//! Events, and the sources that they come from.
//!
//! A source may deliver an event again at any time, also while it is handled: nothing may depend on seeing it once.

use std::future::Future;

use tidemill_core::{Error, notification::ObjectEvent};
use tidemill_run::{DeliveryCount, TriggerRef, Wait};

use crate::Report;

/// One delivery of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Names the event to its source.
    pub id: String,
    /// What happened.
    pub body: EventBody,
    /// How often it was delivered.
    pub count: DeliveryCount,
}

/// The content of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum EventBody {
    /// Objects changed. The worker finds out which runs they trigger.
    Objects(Vec<ObjectEvent>),
    /// An object triggers one node.
    Trigger {
        /// The node's stage.
        stage: String,
        /// The node's dataset or model.
        resource: String,
        /// The object.
        trigger: TriggerRef,
    },
}

/// The reason why an event is delivered again.
#[derive(Debug, Clone, PartialEq)]
pub enum GiveBack {
    /// The run has to wait, which is not a failure.
    Wait(Wait),
    /// The delivery failed.
    Failure(Error),
}

impl std::fmt::Display for GiveBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wait(wait) => wait.fmt(f),
            Self::Failure(error) => error.fmt(f),
        }
    }
}

/// A queue of events, as the worker sees it.
pub trait EventSource: Send + Sync + 'static {
    /// Waits for the next event and hides it from other workers; `None` when the source has ended.
    fn receive(&self) -> impl Future<Output = Option<Event>> + Send;

    /// Removes an event: all that it triggers is settled, as `reports` say.
    fn acknowledge(&self, event: Event, reports: Vec<Report>) -> impl Future<Output = ()> + Send;

    /// Makes an event visible again, now or later.
    fn give_back(&self, event: Event, reason: GiveBack) -> impl Future<Output = ()> + Send;

    /// Hides an event for longer. The worker calls it from time to time while it handles the event.
    fn extend(&self, event: &Event) -> impl Future<Output = ()> + Send;
}
