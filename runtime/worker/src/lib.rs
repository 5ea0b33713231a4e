//! A worker runs stages for events, and a coordinator does the rest: it closes windows and writes scheduled events.
//!
//! Neither knows how events travel. An [`EventSource`] does: the queue of `tidemill up`, an SQS batch on Lambda.
//! Delivery is at least once; a run has one effect, because its trigger has one outcome.

mod coordinator;
mod event;
#[cfg(feature = "failpoints")]
mod redelivery;
mod worker;

pub use coordinator::Coordinator;
pub use event::{Event, EventBody, EventSource, GiveBack};
#[cfg(feature = "failpoints")]
pub use redelivery::Redelivery;
pub use worker::{Delivered, ProgressCallback, Report, Worker, WorkerOptions};
