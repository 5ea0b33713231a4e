//! The thread that writes: whoever asks while an fsync runs shares the next one.

use std::{
    path::PathBuf,
    sync::{PoisonError, mpsc},
    time::{Duration, Instant},
};

use tidemill_core::Result;
use tokio::sync::oneshot;

use super::{Active, LogOptions, name, sealer, slice, unwritable, wal::Wal};

/// Requests that share an fsync at most.
const GROUP: usize = 1024;
/// How long the first of a group waits for as many as were in the group before: an fsync costs about as much as a small prediction.
const GATHER: Duration = Duration::from_micros(500);

pub(super) enum Command {
    Append {
        record: Vec<u8>,
        rows: usize,
        reply: oneshot::Sender<Result<()>>,
    },
    /// Closes the file that is being written, so that it can be sealed.
    Close { reply: oneshot::Sender<()> },
}

pub(super) fn start(folder: PathBuf, active: Active, options: LogOptions, sealer: mpsc::Sender<sealer::Command>) -> mpsc::Sender<Command> {
    let (sender, commands) = mpsc::channel();
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
    std::thread::spawn(move || {
        slice::shorten();
        writer.run(&commands);
    });
    sender
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

type Waiting = (Vec<u8>, usize, oneshot::Sender<Result<()>>);

impl Writer {
    fn run(&mut self, commands: &mpsc::Receiver<Command>) {
        let mut group: Vec<Waiting> = Vec::new();
        loop {
            let first = match &self.open {
                None => commands.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
                Some(open) => commands.recv_timeout(self.options.seal_age.saturating_sub(open.since.elapsed())),
            };
            let mut next = match first {
                Ok(command) => Some(command),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.close();
                    continue;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            let (mut closing, gathered) = (None, Instant::now() + GATHER);
            while let Some(command) = next.take() {
                match command {
                    Command::Append { record, rows, reply } => group.push((record, rows, reply)),
                    Command::Close { reply } => closing = Some(reply),
                }
                if group.len() < GROUP && closing.is_none() {
                    let more = group.len() < self.together;
                    let wait = more.then(|| gathered.saturating_duration_since(Instant::now()));
                    next = commands.recv_timeout(wait.unwrap_or_default()).ok();
                }
            }
            self.together = group.len();
            self.write(&mut group);
            let full = self
                .open
                .as_ref()
                .is_some_and(|o| o.rows >= self.options.seal_rows || o.since.elapsed() >= self.options.seal_age);
            if full || closing.is_some() {
                self.close();
            }
            if let Some(reply) = closing {
                let _gone = reply.send(());
            }
        }
    }

    fn write(&mut self, group: &mut Vec<Waiting>) {
        if group.is_empty() {
            return;
        }
        let written = self.append(group);
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
        for (_, _, reply) in group.drain(..) {
            let _gone = reply.send(written.clone());
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
            .append(group.iter().map(|(record, _, _)| record.as_slice()))
            .map_err(|e| unwritable(&open.wal.path, &e))?;
        open.rows += group.iter().map(|(_, rows, _)| rows).sum::<usize>();
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
