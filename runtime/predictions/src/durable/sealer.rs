//! The thread that seals closed write-ahead files. A file is removed when all its segments are in the store; after a crash between the
//! two, the same bytes are written to the same keys again.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use parking_lot::Mutex;
use tidemill_core::{Error, PutResult, Result, pipeline::deployment::LoggedModel};
use tidemill_store::{Store, sync_parent_dir};
use tokio::{runtime::Handle, sync::oneshot};

use super::{ActiveFile, wal, write_error};
use crate::segment::build_segments;

/// How soon sealing is tried again after the store refused.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How each model's rows are cut into windows.
pub(super) type Models = Arc<Mutex<BTreeMap<String, LoggedModel>>>;

/// Seals all closed files, and sends the result.
pub(super) struct Command {
    pub(super) reply: Option<oneshot::Sender<Result<()>>>,
}

pub(super) fn start(folder: PathBuf, active: ActiveFile, store: Store, models: Models, handle: Handle) -> mpsc::Sender<Command> {
    let (sender, commands) = mpsc::channel();
    let sealer = Sealer {
        folder,
        active,
        store,
        models,
        handle,
    };
    std::thread::spawn(move || sealer.run(&commands));
    sender
}

/// All write-ahead files of a folder, oldest first.
pub(super) fn list_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "wal") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

struct Sealer {
    folder: PathBuf,
    active: ActiveFile,
    store: Store,
    models: Models,
    handle: Handle,
}

impl Sealer {
    fn run(&self, commands: &mpsc::Receiver<Command>) {
        let mut failed = false;
        loop {
            let command = match commands.recv_timeout(if failed { RETRY_INTERVAL } else { Duration::MAX }) {
                Ok(command) => command,
                Err(mpsc::RecvTimeoutError::Timeout) => Command { reply: None },
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            let sealed = self.seal();
            failed = sealed.is_err();
            if let Err(error) = &sealed {
                tracing::warn!("predictions stay in the write-ahead file: {error}");
            }
            if let Some(reply) = command.reply {
                let _gone = reply.send(sealed);
            }
        }
    }

    fn seal(&self) -> Result<()> {
        // First the listing, then the name: a file that is begun in between is not in the listing.
        let files = list_files(&self.folder).map_err(|e| write_error(&self.folder, &e))?;
        let active = self.active.lock().clone();
        files
            .iter()
            .filter(|path| Some(*path) != active.as_ref())
            .try_for_each(|path| self.seal_file(path))
    }

    fn seal_file(&self, path: &Path) -> Result<()> {
        let bytes = std::fs::read(path).map_err(|e| write_error(path, &e))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let (records, _) = wal::read_records(&bytes);
        let models = self.models.lock().clone();
        let segments = build_segments(&name, records, &models)
            .map_err(|error| Error::new(error.kind, format!("`{}`: {}", path.display(), error.message)))?;
        for segment in segments {
            let put = self.handle.block_on(self.store.create(&segment.key, segment.bytes.into()));
            let put = put.map_err(|e| Error::transient(e.message))?;
            tidemill_observe::global().record_segment();
            if put == PutResult::Conflict {
                // The key names this very file: an earlier build of Tidemill wrote the same rows.
                tracing::warn!("`{}` is there already, in another encoding", segment.key);
            }
        }
        std::fs::remove_file(path)
            .and_then(|()| sync_parent_dir(path))
            .map_err(|e| write_error(path, &e))
    }
}
