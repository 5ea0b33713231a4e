//! When an instance of an HTTP component is given up.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep_until};
use wasmtime_wasi_http::handler::{WorkerExpiration, WorkerStatus};

/// How long an instance may do what.
pub(crate) struct Expiration {
    idle: Duration,
    requests: Duration,
    behind: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Expiration {
    /// It may wait for its next request so long, be busy with one, and go on behind its answer.
    pub(crate) fn new(idle: Duration, requests: Duration, behind: Duration) -> Self {
        Self {
            idle,
            requests,
            behind,
            sleep: Box::pin(sleep_until(tokio::time::Instant::now())),
        }
    }
}

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        let allowed = match status {
            WorkerStatus::Idle => self.idle,
            WorkerStatus::Requests => self.requests,
            WorkerStatus::PostReturn => self.behind,
        };
        let deadline = tokio::time::Instant::from_std(start + allowed);
        if self.sleep.deadline() != deadline {
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(context)
    }
}
