//! Runs of stages, the same on every target: the events that trigger a run, the objects that it may access, and its one outcome.
//!
//! An event becomes a [`Delivery`], a delivery an [`Attempt`], and an attempt the one outcome of its trigger in the [`Ledger`]. All
//! transports take these steps, so a run has the same key, and its outcome the same bytes, everywhere. The work beside the stages is here
//! too: closing windows ([`WindowCloser`]), scheduled events, dead letters, and the order and [`Budget`] of trainings.
//!
//! This crate builds for WebAssembly: its only I/O is the store's.

#[macro_use]
mod failpoint;

mod access;
mod attempt;
mod budget;
mod dead_letters;
mod delivery;
mod fetch;
mod ledger;
mod passed_over;
mod schedule;
mod training_order;
mod triggers;
mod unjudged;
mod windows;

pub use access::{AccessLog, Grants, ScopedObjects};
pub use attempt::{Attempt, RunReport};
pub use budget::Budget;
pub use dead_letters::{DeadLetter, drop_dead_letter, list_dead_letters, retry_dead_letter, write_dead_letter};
pub use delivery::{Admission, Delivery, DeliveryContext, DeliveryCount, Disposition, Wait, identify_object};
pub use fetch::{MAX_FETCH_BYTES, fetch, response_too_large};
pub use ledger::{Commit, Ledger};
pub use passed_over::warn_passed_over;
pub use schedule::{ScheduledEvent, scheduled_event_key, write_scheduled_event};
pub use tidemill_core::record::WindowSummary;
pub use triggers::{TriggerRef, created_key, outcome_objects, resolve_triggers};
pub use unjudged::note_unjudged_window;
pub use windows::{NoPredictions, WindowCloser, WindowPolicy, WindowSource};

#[doc(hidden)]
#[cfg(feature = "failpoints")]
pub use fail;
#[cfg(feature = "failpoints")]
pub use failpoint::enable_failpoints;

/// Versions of what can change the bytes that a run writes: part of every run key.
pub const ENGINES: &str = "duckdb 1.5.6, parquet 58.4, tract 0.23.9, tidemill-format 1";
