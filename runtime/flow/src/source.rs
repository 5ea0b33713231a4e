//! The flow's queue as a source of events.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use tidemill_core::{Error, Result, pipeline::StagePolicy};
use tidemill_observe::{FailedEvent, global};
use tidemill_run::{Disposition, Wait};
use tidemill_worker::{Delivered, Event, EventSource, GiveBack, Report};

use crate::{
    clock::now,
    queue::{MAX_BACKOFF, QueueItem},
    state::FlowState,
};

/// Without a wake-up, an event that waits for another training is delivered again after this time.
const WAIT_INTERVAL: Duration = Duration::from_secs(1);
/// Without anything due, the queue is looked at again after this time.
const IDLE_INTERVAL: Duration = Duration::from_secs(60);

/// The events of a flow's queue.
pub struct QueueSource {
    flow: Arc<FlowState>,
}

impl QueueSource {
    pub(crate) fn new(flow: Arc<FlowState>) -> Self {
        Self { flow }
    }

    fn take_next(&self, now: i64) -> Option<QueueItem> {
        let pipeline = &self.flow.pipeline;
        let limit = |item: &QueueItem| pipeline.node(&item.stage, &item.resource).map_or(1, |node| node.concurrency.max(1));
        self.flow.queue.take_next(now, &limit)
    }

    /// Queues what follows from a report. Returns whether the item's trigger has an outcome or a dead letter.
    async fn route(&self, item: &QueueItem, report: Report) -> Result<bool> {
        match report.delivered {
            Delivered::Ignored => return Ok(false),
            Delivered::Changed(digest) => {
                self.flow.route_object(&item.key, &digest, item.depth, None);
                return Ok(false);
            }
            Delivered::Settled(Disposition::Committed(record)) => {
                self.flow.route_outcome(&record, &item.trigger_id(), None).await?;
                if StagePolicy::for_stage(&item.stage).advances_watermark {
                    // First here: a file that the coordinator knows of has its arrival.
                    self.flow.note_validated(item, &record);
                    self.flow.coordinator.note_validation(&item.resource, &item.trigger_id());
                    self.flow.mark_windows_due();
                }
                global().record_delivered(&item.stage, &item.resource);
            }
            Delivered::Settled(Disposition::Failed { letter, .. }) => {
                global().record_dead_letter(&failed_event(item, &letter.message));
                self.flow.mark_dead(*letter);
            }
        }
        self.flow.queue.wake(&item.resource);
        Ok(true)
    }

    fn retry_later(&self, item: &mut QueueItem, error: &Error) {
        item.attempt += 1;
        item.retries += 1;
        item.due = now() + backoff(item.retries, random()).as_millis() as i64;
        item.held = false;
        item.waits_for = Some(error.message.clone());
        global().record_retried(&failed_event(item, &error.message));
        tracing::debug!("{} {} is retried (failure {}): {error}", item.stage, item.resource, item.retries);
    }

    fn wait(&self, item: &mut QueueItem, wait: &Wait) {
        item.waits_for = Some(wait.to_string());
        (item.held, item.due) = match wait {
            // Its day is that of the wall clock, which may be behind.
            Wait::Budget { until } => (true, until.as_millisecond().max(now() + WAIT_INTERVAL.as_millis() as i64)),
            // Behind a training that is held back, this one is held back too.
            Wait::Training { request, .. } => match self.flow.queue.find(|other| other.key == *request && other.held) {
                Some(earlier) => (true, earlier.due),
                None => (false, now() + WAIT_INTERVAL.as_millis() as i64),
            },
        };
    }
}

impl EventSource for QueueSource {
    async fn receive(&self) -> Option<Event> {
        loop {
            if self.flow.is_stopping() {
                return None;
            }
            let now = now();
            if let Some(item) = self.take_next(now) {
                return Some(item.to_event());
            }
            let due = self.flow.queue.next_due_after(now);
            let wait = due.map_or(IDLE_INTERVAL, |due| Duration::from_millis((due - now).max(1) as u64));
            tokio::select! {
                () = self.flow.queue.changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn acknowledge(&self, event: Event, reports: Vec<Report>) {
        let Some(mut item) = self.flow.queue.get(&event.id) else { return };
        let mut is_settled = false;
        for report in reports {
            match self.route(&item, report).await {
                Ok(settled) => is_settled |= settled,
                Err(error) => {
                    self.retry_later(&mut item, &error);
                    self.flow.queue.give_back(item);
                    return self.flow.notify();
                }
            }
        }
        self.flow.queue.acknowledge(&item, is_settled);
        self.flow.notify();
    }

    async fn give_back(&self, event: Event, reason: GiveBack) {
        let Some(mut item) = self.flow.queue.get(&event.id) else { return };
        match &reason {
            GiveBack::Failure(error) => self.retry_later(&mut item, error),
            GiveBack::Wait(wait) => self.wait(&mut item, wait),
        }
        self.flow.queue.give_back(item);
        self.flow.notify();
    }

    /// No other process takes what is running here.
    async fn extend(&self, _: &Event) {}
}

fn failed_event<'a>(item: &'a QueueItem, reason: &'a str) -> FailedEvent<'a> {
    FailedEvent {
        stage: &item.stage,
        resource: &item.resource,
        trigger: &item.key,
        reason,
    }
}

/// A number that nothing hashed depends on.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// 100 ms, doubled each time, at most a minute; less up to a half at random, so that not all events come back together.
fn backoff(retries: u32, random: u64) -> Duration {
    let whole = 100u64
        .saturating_mul(1 << retries.saturating_sub(1).min(20))
        .min(MAX_BACKOFF.as_millis() as u64);
    Duration::from_millis(whole - random % (whole / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backs_off_to_a_minute() {
        assert_eq!(backoff(1, 0), Duration::from_millis(100));
        assert_eq!(backoff(3, 0), Duration::from_millis(400));
        assert_eq!(backoff(30, 0), Duration::from_secs(60));
        assert!(backoff(30, u64::MAX) >= Duration::from_secs(30));
    }
}
