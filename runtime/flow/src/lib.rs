//! The flow: objects appear, the stages that wait for them run, their outcomes trigger the next ones.
//!
//! Delivery is at least once, effects are once: an event that comes twice finds its outcome committed and changes nothing.
//! The queue is a convenience. Everything in it follows from the store, and losing its file loses nothing (see `scan.rs`).

mod budget;
mod dead_letters;
mod execute;
mod flow;
mod kill;
mod notifications;
mod queue;
mod runner;
mod scan;
mod schedule;
mod state;
mod watch;
mod windows;

pub use budget::Budget;
pub use dead_letters::{drop_dead_letter, list_dead_letters, retry_dead_letter};
pub use flow::{Flow, FlowOptions, FlowSetup, ProgressCallback, Status};
pub use kill::pass as kill_point;
pub use queue::QueueItem;
pub use runner::{Runner, Usage};
pub use scan::list_all;
pub use schedule::{ScheduledEvent, scheduled_event_key, write_scheduled_event};
pub use tidemill_host::{DeadLetter, is_ignored, write_dead_letter};
pub use windows::{NoPredictions, WindowCloser, WindowPolicy, WindowSource, WindowSummary};
