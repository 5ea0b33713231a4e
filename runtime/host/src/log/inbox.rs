//! Where requests leave their records for the thread that writes. It is woken when it has something to do, and not for each record: while
//! it writes, and while it waits for more to write together, records gather by themselves.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tidemill_core::Result;
use tokio::sync::oneshot;

/// Records that share an fsync at most.
pub(super) const GROUP: usize = 1024;

/// A record that waits to be written, and who waits for it.
pub(super) struct Waiting {
    pub(super) record: Vec<u8>,
    pub(super) rows: usize,
    pub(super) reply: oneshot::Sender<Result<()>>,
}

/// What the writer is given.
#[derive(Default)]
pub(super) struct Group {
    pub(super) waiting: Vec<Waiting>,
    /// Those who want the file that is being written closed, so that it can be sealed.
    pub(super) closing: Vec<oneshot::Sender<()>>,
}

#[derive(Default)]
struct State {
    group: Group,
    /// How many records the writer waits for; 0 while it does not.
    wanted: usize,
    /// Nobody will bring anything any more.
    ended: bool,
}

#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
}

impl Inbox {
    pub(super) fn append(&self, waiting: Waiting) {
        self.bring(|group| group.waiting.push(waiting));
    }

    pub(super) fn close(&self, reply: oneshot::Sender<()>) {
        self.bring(|group| group.closing.push(reply));
    }

    /// Whoever comes after the end hears of it: what they bring is dropped, and with it their reply.
    fn bring(&self, add: impl FnOnce(&mut Group)) {
        self.change(|state| {
            if !state.ended {
                add(&mut state.group);
            }
        });
    }

    /// Nothing will come any more: the writer takes what is there and returns.
    pub(super) fn end(&self) {
        self.change(|state| state.ended = true);
    }

    /// The writer is gone, and whoever still waits hears of it.
    pub(super) fn abandon(&self) {
        let mut left = Group::default();
        self.change(|state| {
            state.ended = true;
            left = std::mem::take(&mut state.group);
        });
        // Here, and not under the lock: dropping a reply wakes who waits for it.
        drop(left);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let wake = state.wanted > 0 && state.has(state.wanted);
        if wake {
            state.wanted = 0;
        }
        drop(state);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Waits for anything, until `idle` is over: an empty group then. After the first record, waits up to `gather` until there are `together`.
    /// Takes [`GROUP`] at most. `None` once all is taken and nothing will come.
    pub(super) fn take(&self, idle: Duration, together: usize, gather: Duration) -> Option<Group> {
        let mut state = self.wait(self.lock(), 1, idle);
        if !state.has(together) && !state.group.waiting.is_empty() {
            state = self.wait(state, together, gather);
        }
        let mut group = std::mem::take(&mut state.group);
        let full = group.waiting.len().min(GROUP);
        state.group.waiting = group.waiting.split_off(full);
        let nothing = group.waiting.is_empty() && group.closing.is_empty();
        (!nothing || !state.ended).then_some(group)
    }

    fn wait<'a>(&'a self, mut state: MutexGuard<'a, State>, wanted: usize, most: Duration) -> MutexGuard<'a, State> {
        let start = Instant::now();
        while !state.has(wanted) {
            let Some(left) = most.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else {
                break;
            };
            state.wanted = wanted;
            (state, _) = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        state.wanted = 0;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who wants a file closed waits for nobody, nor does the end.
    fn has(&self, wanted: usize) -> bool {
        self.group.waiting.len() >= wanted || !self.group.closing.is_empty() || self.ended
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

    fn record(inbox: &Inbox) -> oneshot::Receiver<Result<()>> {
        let (reply, answer) = oneshot::channel();
        let record = vec![7];
        inbox.append(Waiting { record, rows: 1, reply });
        answer
    }

    #[test]
    fn a_group_is_whole_or_its_time_is_over() {
        let _promptly = Promptly(Instant::now());
        let inbox = Arc::new(Inbox::default());
        let from = inbox.clone();
        let writer = thread::spawn(move || from.take(LONG, 3, LONG).unwrap().waiting.len());
        let answers: Vec<_> = (0..3).map(|_| record(&inbox)).collect();
        assert_eq!((writer.join().unwrap(), answers.len()), (3, 3));
        let _one = record(&inbox);
        assert_eq!(inbox.take(LONG, 3, Duration::from_millis(1)).unwrap().waiting.len(), 1);
        assert_eq!(inbox.take(Duration::from_millis(1), 3, LONG).unwrap().waiting.len(), 0);
    }

    #[test]
    fn a_crowd_is_written_group_by_group() {
        let inbox = Inbox::default();
        let _answers: Vec<_> = (0..GROUP + 3).map(|_| record(&inbox)).collect();
        let lengths = [1, 2].map(|_| inbox.take(LONG, 1, LONG).unwrap().waiting.len());
        assert_eq!(lengths, [GROUP, 3]);
    }

    #[test]
    fn who_wants_it_closed_waits_for_nobody() {
        let _promptly = Promptly(Instant::now());
        let inbox = Inbox::default();
        let _one = record(&inbox);
        let (reply, _closed) = oneshot::channel();
        inbox.close(reply);
        let group = inbox.take(LONG, 3, LONG).unwrap();
        assert_eq!((group.waiting.len(), group.closing.len()), (1, 1));
    }

    #[test]
    fn the_end_gives_what_is_left_and_refuses_the_rest() {
        let _promptly = Promptly(Instant::now());
        let inbox = Inbox::default();
        let mut before = record(&inbox);
        inbox.end();
        let group = inbox.take(LONG, 3, LONG).unwrap();
        assert_eq!(group.waiting.len(), 1);
        assert!(inbox.take(LONG, 3, LONG).is_none());
        assert_eq!(before.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        drop(group);
        assert_eq!(before.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(record(&inbox).try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
