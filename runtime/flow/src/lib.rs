//! The flow: objects appear, the stages that wait for them run, their outcomes trigger the next ones.
//!
//! Delivery is at least once, effects are once: an event that comes twice finds its outcome committed and changes nothing.
//! The queue is a convenience. Everything in it follows from the store, and losing its file loses nothing (see `scan.rs`).

mod budget;
mod close;
mod dead;
mod execute;
mod flow;
mod kill;
mod notices;
mod queue;
mod route;
mod runner;
mod scan;
mod ticks;
mod watch;

pub use budget::Budget;
pub use close::{Closing, Cut, NoWindows, WindowSummary, Windows};
pub use dead::{dead_letters, drop_letter, retry_letter};
pub use flow::{Flow, FlowOptions, FlowSetup, Progress, Status};
pub use kill::pass as kill_point;
pub use queue::Item;
pub use runner::{Runner, Usage};
pub use scan::list_all;
pub use ticks::{Tick, tick_key, write_tick};
pub use tidemill_host::{DeadLetter, is_ignored, write_letter};
