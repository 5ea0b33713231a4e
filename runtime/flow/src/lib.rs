//! The local flow: it notices objects, queues the events that they cause, and runs a worker over the queue.
//!
//! The queue is a convenience. Everything in it follows from the store, and losing its file loses nothing (see `scheduler.rs`).

mod clock;
mod flow;
mod notifications;
mod options;
mod queue;
mod scheduler;
mod source;
mod state;
mod watch;

pub use flow::{Flow, Status};
pub use options::{FlowOptions, FlowSetup};
pub use queue::QueueItem;
pub use source::QueueSource;
