//! The writer's thread and the queue between it and requests: requests that arrive during one fsync share the next.
//!
//! The thread is woken when it has something to do, not for each record: while it writes, and while it waits for more records to write
//! together, records gather in the queue.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tidemill_core::Result;
use tokio::sync::oneshot;

use super::{ActiveFile, LogOptions, sealer, thread_scheduling::request_short_timeslice, wal::WriteAheadFile, write_error};
use crate::segment::unique_name;

/// How long the first record of a group waits until the group is as large as the one before: an fsync takes about as long as a small
/// prediction.
const GATHER_TIMEOUT: Duration = Duration::from_micros(500);
/// Records that share one fsync at most.
pub(super) const MAX_GROUP: usize = 1024;

/// Starts the thread. It ends when the queue is closed.
pub(super) fn start(folder: PathBuf, active: ActiveFile, options: LogOptions, sealer: mpsc::Sender<sealer::Command>) -> Arc<CommitQueue> {
    let queue = Arc::<CommitQueue>::default();
    let mut writer = Writer {
        folder,
        active,
        options,
        sealer,
        open: None,
        target_size: 1,
        failing: false,
        files: 0,
    };
    let from = AbandonOnDrop(queue.clone());
    std::thread::spawn(move || {
        request_short_timeslice();
        writer.run(&from.0);
    });
    queue
}

/// However the thread ends, no request waits for it.
struct AbandonOnDrop(Arc<CommitQueue>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

struct Writer {
    folder: PathBuf,
    active: ActiveFile,
    options: LogOptions,
    sealer: mpsc::Sender<sealer::Command>,
    open: Option<OpenFile>,
    /// Records in the last group. A single client never waits for others.
    target_size: usize,
    /// Whether the last write failed.
    failing: bool,
    files: u64,
}

struct OpenFile {
    wal: WriteAheadFile,
    rows: usize,
    opened_at: Instant,
}

impl Writer {
    fn run(&mut self, queue: &CommitQueue) {
        loop {
            let idle = match &self.open {
                None => Duration::MAX,
                Some(open) => self.options.seal_age.saturating_sub(open.opened_at.elapsed()),
            };
            let Some(group) = queue.next_group(idle, self.target_size, GATHER_TIMEOUT) else {
                return;
            };
            if !group.appends.is_empty() {
                self.target_size = group.appends.len();
                self.write(group.appends);
            }
            let is_due = |open: &OpenFile| open.rows >= self.options.seal_rows || open.opened_at.elapsed() >= self.options.seal_age;
            if self.open.as_ref().is_some_and(is_due) || !group.close_requests.is_empty() {
                self.close();
            }
            for reply in group.close_requests {
                let _gone = reply.send(());
            }
        }
    }

    fn write(&mut self, group: Vec<PendingAppend>) {
        let start = Instant::now();
        let written = self.append(&group);
        match &written {
            Err(error) => {
                tidemill_observe::global().record_commit_failure();
                // Once, not for each request that is refused meanwhile.
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!("{error}");
                }
                self.discard_file();
            }
            Ok(()) if std::mem::take(&mut self.failing) => tracing::info!("the prediction log can be written again"),
            Ok(()) => {}
        }
        if written.is_ok() {
            let bytes = group.iter().map(|append| append.record.len()).sum();
            tidemill_observe::global().record_commit(bytes, start.elapsed());
        }
        for append in group {
            let _gone = append.reply.send(written.clone());
        }
    }

    fn append(&mut self, group: &[PendingAppend]) -> Result<()> {
        if self.open.is_none() {
            let path = self.next_path();
            *self.active.lock() = Some(path.clone());
            let wal = WriteAheadFile::create(path.clone()).map_err(|e| write_error(&path, &e))?;
            self.open = Some(OpenFile {
                wal,
                rows: 0,
                opened_at: Instant::now(),
            });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.wal
            .append(group.iter().map(|append| append.record.as_slice()))
            .map_err(|e| write_error(&open.wal.path, &e))?;
        open.rows += group.iter().map(|append| append.rows).sum::<usize>();
        Ok(())
    }

    /// A file whose write or fsync failed is not trusted again; its durable records are sealed.
    fn discard_file(&mut self) {
        if let Some(open) = &self.open
            && open.rows == 0
        {
            // If it cannot be removed now, it is sealed as an empty file.
            let _left = std::fs::remove_file(&open.wal.path);
        }
        self.close();
    }

    fn close(&mut self) {
        self.open = None;
        *self.active.lock() = None;
        let _gone = self.sealer.send(sealer::Command { reply: None });
    }

    fn next_path(&mut self) -> PathBuf {
        self.files += 1;
        let name = unique_name(&self.folder.display().to_string(), self.files);
        self.folder.join(format!("{name}.wal"))
    }
}

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
    use tokio::sync::oneshot::{channel, error::TryRecvError};

    use super::*;

    #[test]
    fn no_request_waits_for_a_thread_that_is_gone() {
        let queue = Arc::<CommitQueue>::default();
        let enqueue = || {
            let (reply, answer) = channel();
            let record = Vec::new();
            queue.enqueue(PendingAppend { record, rows: 1, reply });
            answer
        };
        let mut before = enqueue();
        drop(AbandonOnDrop(queue.clone()));
        assert_eq!(before.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(enqueue().try_recv(), Err(TryRecvError::Closed));
    }
}
