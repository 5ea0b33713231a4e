//! What the handlers of a connection do, for the connection, which sees bytes alone.

use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicU64, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};

/// The requests of a connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    running: AtomicUsize,
    ended: AtomicU64,
    is_ending: AtomicBool,
}

/// A request that a handler has.
pub(super) struct RunningRequest(Arc<Activity>);

impl Activity {
    /// Counts a request until the guard is dropped.
    pub(super) fn start(self: &Arc<Self>) -> RunningRequest {
        self.running.fetch_add(1, SeqCst);
        RunningRequest(self.clone())
    }

    /// Whether a handler has a request.
    pub(super) fn is_running(&self) -> bool {
        self.running.load(SeqCst) > 0
    }

    /// How many requests handlers have answered.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(SeqCst)
    }

    /// The connection ends with an answer before its request was read.
    pub(super) fn end_connection(&self) {
        self.is_ending.store(true, Relaxed);
    }

    /// Whether it does.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Relaxed)
    }
}

impl RunningRequest {
    /// The connection ends with this request's answer.
    pub(super) fn end_connection(&self) {
        self.0.end_connection();
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, SeqCst);
        self.0.running.fetch_sub(1, SeqCst);
    }
}
