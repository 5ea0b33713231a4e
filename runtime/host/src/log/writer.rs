//! The thread that writes: whoever asks while an fsync runs shares the next one.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, mpsc},
    time::{Duration, Instant},
};

use tidemill_core::Result;

use super::{
    Active, LogOptions,
    inbox::{Inbox, Waiting},
    name, sealer, slice, unwritable,
    wal::Wal,
};

/// How long the first of a group waits for as many as were in the group before: an fsync costs about as much as a small prediction.
const GATHER: Duration = Duration::from_micros(500);

/// Starts it; it ends when the inbox does.
pub(super) fn start(folder: PathBuf, active: Active, options: LogOptions, sealer: mpsc::Sender<sealer::Command>) -> Arc<Inbox> {
    let inbox = Arc::<Inbox>::default();
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
    let from = Reading(inbox.clone());
    std::thread::spawn(move || {
        slice::shorten();
        writer.run(&from.0);
    });
    inbox
}

/// However the thread ends, nobody waits for it in vain.
struct Reading(Arc<Inbox>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

struct Writer {
    folder: PathBuf,
    active: Active,
    options: LogOptions,
    sealer: mpsc::Sender<sealer::Command>,
    open: Option<Open>,
    /// Requests in the last group. Who is alone never waits for others.
    together: usize,
    /// Whether the last write failed.
    failing: bool,
    files: u64,
}

struct Open {
    wal: Wal,
    rows: usize,
    since: Instant,
}

impl Writer {
    fn run(&mut self, inbox: &Inbox) {
        loop {
            let idle = match &self.open {
                None => Duration::MAX,
                Some(open) => self.options.seal_age.saturating_sub(open.since.elapsed()),
            };
            let Some(group) = inbox.take(idle, self.together, GATHER) else {
                return;
            };
            if !group.waiting.is_empty() {
                self.together = group.waiting.len();
                self.write(group.waiting);
            }
            let due = |o: &Open| o.rows >= self.options.seal_rows || o.since.elapsed() >= self.options.seal_age;
            if self.open.as_ref().is_some_and(due) || !group.closing.is_empty() {
                self.close();
            }
            for reply in group.closing {
                let _gone = reply.send(());
            }
        }
    }

    fn write(&mut self, group: Vec<Waiting>) {
        let written = self.append(&group);
        match &written {
            Err(error) => {
                // Once, not for each request that is refused meanwhile.
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!("{error}");
                }
                self.give_up();
            }
            Ok(()) if std::mem::take(&mut self.failing) => tracing::info!("the prediction log can be written again"),
            Ok(()) => {}
        }
        for waiting in group {
            let _gone = waiting.reply.send(written.clone());
        }
    }

    fn append(&mut self, group: &[Waiting]) -> Result<()> {
        if self.open.is_none() {
            let path = self.next_path();
            *self.active.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.clone());
            let wal = Wal::create(path.clone()).map_err(|e| unwritable(&path, &e))?;
            self.open = Some(Open {
                wal,
                rows: 0,
                since: Instant::now(),
            });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.wal
            .append(group.iter().map(|waiting| waiting.record.as_slice()))
            .map_err(|e| unwritable(&open.wal.path, &e))?;
        open.rows += group.iter().map(|waiting| waiting.rows).sum::<usize>();
        Ok(())
    }

    /// A file whose write or fsync failed is not trusted again; what it holds durably is sealed.
    fn give_up(&mut self) {
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
            .join(format!("{}.wal", name(&self.folder.display().to_string(), self.files)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::{channel, error::TryRecvError};

    use super::*;

    #[test]
    fn nobody_waits_for_a_thread_that_is_gone() {
        let inbox = Arc::<Inbox>::default();
        let record = || {
            let (reply, answer) = channel();
            let record = Vec::new();
            inbox.append(Waiting { record, rows: 1, reply });
            answer
        };
        let mut before = record();
        drop(Reading(inbox.clone()));
        assert_eq!(before.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(record().try_recv(), Err(TryRecvError::Closed));
    }
}
