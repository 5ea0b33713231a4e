//! Where requests leave their records for the thread that writes. It is woken when it has something to do, and not for each record: while
//! it writes, and while it waits for more to write together, records gather by themselves.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tidemill_core::Result;
use tokio::sync::oneshot;

/// Records that share an fsync at most.
pub(super) const MAX_GROUP: usize = 1024;

/// A record that waits to be written, and who waits for it.
pub(super) struct PendingAppend {
    pub(super) record: Vec<u8>,
    pub(super) rows: usize,
    pub(super) reply: oneshot::Sender<Result<()>>,
}

/// What the writer is given.
#[derive(Default)]
pub(super) struct CommitGroup {
    pub(super) appends: Vec<PendingAppend>,
    /// Those who want the file that is being written closed, so that it can be sealed.
    pub(super) close_requests: Vec<oneshot::Sender<()>>,
}

#[derive(Default)]
struct QueueState {
    group: CommitGroup,
    /// How many records the writer waits for; 0 while it does not.
    wake_at: usize,
    /// Nobody will bring anything any more.
    closed: bool,
}

#[derive(Default)]
pub(super) struct CommitQueue {
    state: Mutex<QueueState>,
    wake: Condvar,
}

impl CommitQueue {
    pub(super) fn enqueue(&self, waiting: PendingAppend) {
        self.add(|group| group.appends.push(waiting));
    }

    pub(super) fn request_close(&self, reply: oneshot::Sender<()>) {
        self.add(|group| group.close_requests.push(reply));
    }

    /// Whoever comes after the end hears of it: what they bring is dropped, and with it their reply.
    fn add(&self, add: impl FnOnce(&mut CommitGroup)) {
        self.update(|state| {
            if !state.closed {
                add(&mut state.group);
            }
        });
    }

    /// Nothing will come any more: the writer takes what is there and returns.
    pub(super) fn close(&self) {
        self.update(|state| state.closed = true);
    }

    /// The writer is gone, and whoever still waits hears of it.
    pub(super) fn abandon(&self) {
        let mut left = CommitGroup::default();
        self.update(|state| {
            state.closed = true;
            left = std::mem::take(&mut state.group);
        });
        // Here, and not under the lock: dropping a reply wakes who waits for it.
        drop(left);
    }

    fn update(&self, change: impl FnOnce(&mut QueueState)) {
        let mut state = self.lock();
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

    /// Waits for anything, until `idle` is over: an empty group then. After the first record, waits up to `gather` until there are `together`.
    /// Takes [`GROUP`] at most. `None` once all is taken and nothing will come.
    pub(super) fn next_group(&self, idle: Duration, together: usize, gather: Duration) -> Option<CommitGroup> {
        let mut state = self.wait_for(self.lock(), 1, idle);
        if !state.is_ready(together) && !state.group.appends.is_empty() {
            state = self.wait_for(state, together, gather);
        }
        let mut group = std::mem::take(&mut state.group);
        let full = group.appends.len().min(MAX_GROUP);
        state.group.appends = group.appends.split_off(full);
        let nothing = group.appends.is_empty() && group.close_requests.is_empty();
        (!nothing || !state.closed).then_some(group)
    }

    fn wait_for<'a>(&'a self, mut state: MutexGuard<'a, QueueState>, wanted: usize, most: Duration) -> MutexGuard<'a, QueueState> {
        let start = Instant::now();
        while !state.is_ready(wanted) {
            let Some(left) = most.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else {
                break;
            };
            state.wake_at = wanted;
            (state, _) = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        state.wake_at = 0;
        state
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    /// Who wants a file closed waits for nobody, nor does the end.
    fn is_ready(&self, wanted: usize) -> bool {
        self.group.appends.len() >= wanted || !self.group.close_requests.is_empty() || self.closed
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    /// So long that a test which waited for it would have failed.
    const LONG: Duration = Duration::from_secs(60);

    /// Says that nothing waited in vain.
    struct Promptly(Instant);

    impl Drop for Promptly {
        fn drop(&mut self) {
            assert!(self.0.elapsed() < LONG / 2, "it waited until its time was over");
        }
    }

    fn record(inbox: &CommitQueue) -> oneshot::Receiver<Result<()>> {
        let (reply, answer) = oneshot::channel();
        let record = vec![7];
        inbox.enqueue(PendingAppend { record, rows: 1, reply });
        answer
    }

    #[test]
    fn a_group_is_whole_or_its_time_is_over() {
        let _promptly = Promptly(Instant::now());
        let inbox = Arc::new(CommitQueue::default());
        let from = inbox.clone();
        let writer = thread::spawn(move || from.next_group(LONG, 3, LONG).unwrap().appends.len());
        let answers: Vec<_> = (0..3).map(|_| record(&inbox)).collect();
        assert_eq!((writer.join().unwrap(), answers.len()), (3, 3));
        let _one = record(&inbox);
        assert_eq!(inbox.next_group(LONG, 3, Duration::from_millis(1)).unwrap().appends.len(), 1);
        assert_eq!(inbox.next_group(Duration::from_millis(1), 3, LONG).unwrap().appends.len(), 0);
    }

    #[test]
    fn a_crowd_is_written_group_by_group() {
        let inbox = CommitQueue::default();
        let _answers: Vec<_> = (0..MAX_GROUP + 3).map(|_| record(&inbox)).collect();
        let lengths = [1, 2].map(|_| inbox.next_group(LONG, 1, LONG).unwrap().appends.len());
        assert_eq!(lengths, [MAX_GROUP, 3]);
    }

    #[test]
    fn who_wants_it_closed_waits_for_nobody() {
        let _promptly = Promptly(Instant::now());
        let inbox = CommitQueue::default();
        let _one = record(&inbox);
        let (reply, _closed) = oneshot::channel();
        inbox.request_close(reply);
        let group = inbox.next_group(LONG, 3, LONG).unwrap();
        assert_eq!((group.appends.len(), group.close_requests.len()), (1, 1));
    }

    #[test]
    fn the_end_gives_what_is_left_and_refuses_the_rest() {
        let _promptly = Promptly(Instant::now());
        let inbox = CommitQueue::default();
        let mut before = record(&inbox);
        inbox.close();
        let group = inbox.next_group(LONG, 3, LONG).unwrap();
        assert_eq!(group.appends.len(), 1);
        assert!(inbox.next_group(LONG, 3, LONG).is_none());
        assert_eq!(before.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        drop(group);
        assert_eq!(before.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(record(&inbox).try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
