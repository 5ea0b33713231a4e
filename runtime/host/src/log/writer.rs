//! The thread that writes: whoever asks while an fsync runs shares the next one.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, mpsc},
    time::{Duration, Instant},
};

use tidemill_core::Result;

use super::{
    ActiveFile, LogOptions,
    commit_queue::{CommitQueue, PendingAppend},
    sealer, thread_scheduling, unique_name,
    wal::WriteAheadFile,
    write_error,
};

/// How long the first of a group waits for as many as were in the group before: an fsync costs about as much as a small prediction.
const GATHER_TIMEOUT: Duration = Duration::from_micros(500);

/// Starts it; it ends when the inbox does.
pub(super) fn start(folder: PathBuf, active: ActiveFile, options: LogOptions, sealer: mpsc::Sender<sealer::Command>) -> Arc<CommitQueue> {
    let inbox = Arc::<CommitQueue>::default();
    let mut writer = Writer {
        folder,
        active,
        options,
        sealer,
        open: None,
        together: 1,
        failing: false,
        files: 0,
    };
    let from = AbandonOnDrop(inbox.clone());
    std::thread::spawn(move || {
        thread_scheduling::request_short_timeslice();
        writer.run(&from.0);
    });
    inbox
}

/// However the thread ends, nobody waits for it in vain.
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
    /// Requests in the last group. Who is alone never waits for others.
    together: usize,
    /// Whether the last write failed.
    failing: bool,
    files: u64,
}

struct OpenFile {
    wal: WriteAheadFile,
    rows: usize,
    since: Instant,
}

impl Writer {
    fn run(&mut self, inbox: &CommitQueue) {
        loop {
            let idle = match &self.open {
                None => Duration::MAX,
                Some(open) => self.options.seal_age.saturating_sub(open.since.elapsed()),
            };
            let Some(group) = inbox.next_group(idle, self.together, GATHER_TIMEOUT) else {
                return;
            };
            if !group.appends.is_empty() {
                self.together = group.appends.len();
                self.write(group.appends);
            }
            let due = |o: &OpenFile| o.rows >= self.options.seal_rows || o.since.elapsed() >= self.options.seal_age;
            if self.open.as_ref().is_some_and(due) || !group.close_requests.is_empty() {
                self.close();
            }
            for reply in group.close_requests {
                let _gone = reply.send(());
            }
        }
    }

    fn write(&mut self, group: Vec<PendingAppend>) {
        let written = self.append(&group);
        match &written {
            Err(error) => {
                // Once, not for each request that is refused meanwhile.
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!("{error}");
                }
                self.discard_file();
            }
            Ok(()) if std::mem::take(&mut self.failing) => tracing::info!("the prediction log can be written again"),
            Ok(()) => {}
        }
        for waiting in group {
            let _gone = waiting.reply.send(written.clone());
        }
    }

    fn append(&mut self, group: &[PendingAppend]) -> Result<()> {
        if self.open.is_none() {
            let path = self.next_path();
            *self.active.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.clone());
            let wal = WriteAheadFile::create(path.clone()).map_err(|e| write_error(&path, &e))?;
            self.open = Some(OpenFile {
                wal,
                rows: 0,
                since: Instant::now(),
            });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.wal
            .append(group.iter().map(|waiting| waiting.record.as_slice()))
            .map_err(|e| write_error(&open.wal.path, &e))?;
        open.rows += group.iter().map(|waiting| waiting.rows).sum::<usize>();
        Ok(())
    }

    /// A file whose write or fsync failed is not trusted again; what it holds durably is sealed.
    fn discard_file(&mut self) {
        if let Some(open) = &self.open
            && open.rows == 0
        {
            // It is sealed as empty if it cannot be removed now.
            let _left = std::fs::remove_file(&open.wal.path);
        }
        self.close();
    }

    fn close(&mut self) {
        self.open = None;
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _gone = self.sealer.send(sealer::Command { reply: None });
    }

    fn next_path(&mut self) -> PathBuf {
        self.files += 1;
        self.folder
            .join(format!("{}.wal", unique_name(&self.folder.display().to_string(), self.files)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::{channel, error::TryRecvError};

    use super::*;

    #[test]
    fn nobody_waits_for_a_thread_that_is_gone() {
        let inbox = Arc::<CommitQueue>::default();
        let record = || {
            let (reply, answer) = channel();
            let record = Vec::new();
            inbox.enqueue(PendingAppend { record, rows: 1, reply });
            answer
        };
        let mut before = record();
        drop(AbandonOnDrop(inbox.clone()));
        assert_eq!(before.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(record().try_recv(), Err(TryRecvError::Closed));
    }
}
