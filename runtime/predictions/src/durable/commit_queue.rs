//! The queue between requests and the writer's thread. The thread is woken when it has something to do, not for each record: while it
//! writes, and while it waits for more records to write together, records gather here.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tidemill_core::Result;
use tokio::sync::oneshot;

/// Records that share one fsync at most.
pub(super) const MAX_GROUP: usize = 1024;

/// A record to write, and the request that waits for it.
pub(super) struct PendingAppend {
    pub(super) record: Vec<u8>,
    pub(super) rows: usize,
    pub(super) reply: oneshot::Sender<Result<()>>,
}

/// The writer's next piece of work.
#[derive(Default)]
pub(super) struct CommitGroup {
    pub(super) appends: Vec<PendingAppend>,
    /// Each wants the current file closed, so that it can be sealed.
    pub(super) close_requests: Vec<oneshot::Sender<()>>,
}

#[derive(Default)]
struct QueueState {
    group: CommitGroup,
    /// How many records wake the writer; 0 while it does not wait.
    wake_at: usize,
    closed: bool,
}

#[derive(Default)]
pub(super) struct CommitQueue {
    state: Mutex<QueueState>,
    wake: Condvar,
}

impl CommitQueue {
    pub(super) fn enqueue(&self, append: PendingAppend) {
        self.add(|group| group.appends.push(append));
    }

    pub(super) fn request_close(&self, reply: oneshot::Sender<()>) {
        self.add(|group| group.close_requests.push(reply));
    }

    /// After the end, what is added is dropped, and its reply with it.
    fn add(&self, add: impl FnOnce(&mut CommitGroup)) {
        self.update(|state| {
            if !state.closed {
                add(&mut state.group);
            }
        });
    }

    /// Takes no more records: the writer writes those that are queued, and returns.
    pub(super) fn close(&self) {
        self.update(|state| state.closed = true);
    }

    /// The writer is gone: drops all replies, so that no request waits.
    pub(super) fn abandon(&self) {
        let mut left = CommitGroup::default();
        self.update(|state| {
            state.closed = true;
            left = std::mem::take(&mut state.group);
        });
        // Not under the lock: dropping a reply wakes the task that waits for it.
        drop(left);
    }

    fn update(&self, change: impl FnOnce(&mut QueueState)) {
        let mut state = self.state.lock();
        change(&mut state);
        let wake = state.wake_at > 0 && state.is_ready(state.wake_at);
        if wake {
            state.wake_at = 0;
        }
        drop(state);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Waits for work, until `idle` has passed: then the group is empty. After the first record, waits up to `gather` until there are
    /// `target_size` of them. Takes at most [`MAX_GROUP`]. `None` once the queue is closed and empty.
    pub(super) fn next_group(&self, idle: Duration, target_size: usize, gather: Duration) -> Option<CommitGroup> {
        let mut state = self.wait_for(self.state.lock(), 1, idle);
        if !state.is_ready(target_size) && !state.group.appends.is_empty() {
            state = self.wait_for(state, target_size, gather);
        }
        let mut group = std::mem::take(&mut state.group);
        let full = group.appends.len().min(MAX_GROUP);
        state.group.appends = group.appends.split_off(full);
        let is_empty = group.appends.is_empty() && group.close_requests.is_empty();
        (!is_empty || !state.closed).then_some(group)
    }

    fn wait_for<'a>(&'a self, mut state: MutexGuard<'a, QueueState>, records: usize, timeout: Duration) -> MutexGuard<'a, QueueState> {
        let start = Instant::now();
        while !state.is_ready(records) {
            let Some(left) = timeout.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else {
                break;
            };
            state.wake_at = records;
            let _timed_out = self.wake.wait_for(&mut state, left);
        }
        state.wake_at = 0;
        state
    }
}

impl QueueState {
    /// Neither a close request nor the end waits for more records.
    fn is_ready(&self, records: usize) -> bool {
        self.group.appends.len() >= records || !self.group.close_requests.is_empty() || self.closed
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    /// Long enough that a test which waits for it fails.
    const LONG: Duration = Duration::from_secs(60);

    /// Asserts on drop that nothing waited until its timeout.
    struct Promptly(Instant);

    impl Drop for Promptly {
        fn drop(&mut self) {
            assert!(self.0.elapsed() < LONG / 2, "it waited until its timeout");
        }
    }

    fn enqueue(queue: &CommitQueue) -> oneshot::Receiver<Result<()>> {
        let (reply, answer) = oneshot::channel();
        let record = vec![7];
        queue.enqueue(PendingAppend { record, rows: 1, reply });
        answer
    }

    #[test]
    fn a_group_is_complete_or_its_timeout_has_passed() {
        let _promptly = Promptly(Instant::now());
        let queue = Arc::new(CommitQueue::default());
        let from = queue.clone();
        let writer = thread::spawn(move || from.next_group(LONG, 3, LONG).unwrap().appends.len());
        let answers: Vec<_> = (0..3).map(|_| enqueue(&queue)).collect();
        assert_eq!((writer.join().unwrap(), answers.len()), (3, 3));
        let _one = enqueue(&queue);
        assert_eq!(queue.next_group(LONG, 3, Duration::from_millis(1)).unwrap().appends.len(), 1);
        assert_eq!(queue.next_group(Duration::from_millis(1), 3, LONG).unwrap().appends.len(), 0);
    }

    #[test]
    fn many_records_are_written_group_by_group() {
        let queue = CommitQueue::default();
        let _answers: Vec<_> = (0..MAX_GROUP + 3).map(|_| enqueue(&queue)).collect();
        let lengths = [1, 2].map(|_| queue.next_group(LONG, 1, LONG).unwrap().appends.len());
        assert_eq!(lengths, [MAX_GROUP, 3]);
    }

    #[test]
    fn a_close_request_does_not_wait_for_records() {
        let _promptly = Promptly(Instant::now());
        let queue = CommitQueue::default();
        let _one = enqueue(&queue);
        let (reply, _closed) = oneshot::channel();
        queue.request_close(reply);
        let group = queue.next_group(LONG, 3, LONG).unwrap();
        assert_eq!((group.appends.len(), group.close_requests.len()), (1, 1));
    }

    #[test]
    fn a_closed_queue_returns_what_is_left_and_refuses_the_rest() {
        let _promptly = Promptly(Instant::now());
        let queue = CommitQueue::default();
        let mut before = enqueue(&queue);
        queue.close();
        let group = queue.next_group(LONG, 3, LONG).unwrap();
        assert_eq!(group.appends.len(), 1);
        assert!(queue.next_group(LONG, 3, LONG).is_none());
        assert_eq!(before.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        drop(group);
        assert_eq!(before.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(enqueue(&queue).try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
