//! When an instance of an HTTP component is dropped.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep_until};
use wasmtime_wasi_http::handler::{WorkerExpiration, WorkerStatus};

/// The time that an instance may spend in each state.
pub struct Expiration {
    idle: Duration,
    requests: Duration,
    post_return: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Expiration {
    /// Times for waiting for a request, for a request, and for work after the response.
    pub fn new(idle: Duration, requests: Duration, post_return: Duration) -> Self {
        Self {
            idle,
            requests,
            post_return,
            sleep: Box::pin(sleep_until(tokio::time::Instant::now())),
        }
    }
}

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        let allowed = match status {
            WorkerStatus::Idle => self.idle,
            WorkerStatus::Requests => self.requests,
            WorkerStatus::PostReturn => self.post_return,
        };
        let deadline = tokio::time::Instant::from_std(start + allowed);
        if self.sleep.deadline() != deadline {
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(context)
    }
}
