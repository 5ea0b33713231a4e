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
use crate::{
    record::RecordReader,
    segment::{Segment, build_segments},
};

/// How soon sealing is tried again after the store refused.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How each model's rows are cut into windows. Replaced as a whole: no request waits while the rows of another one are looked at.
pub(super) type Models = Arc<Mutex<Arc<BTreeMap<String, LoggedModel>>>>;

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
        // One file's trouble does not hold back the others.
        let mut result = Ok(());
        for path in files.iter().filter(|path| Some(*path) != active.as_ref()) {
            result = result.and(self.seal_file(path));
        }
        result
    }

    fn seal_file(&self, path: &Path) -> Result<()> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if is_lasting(&e) => return keep_aside(path, &format!("it cannot be read: {e}")),
            Err(e) => return Err(write_error(path, &e)),
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let contents = wal::read_records(&bytes, may_begin_record);
        let models = self.models.lock().clone();
        let mut unreadable = Vec::new();
        for segment in build_parts(&name, &contents.records, &models, &mut unreadable) {
            let put = self.handle.block_on(self.store.create(&segment.key, segment.bytes.into()));
            let put = put.map_err(|e| Error::transient(e.message))?;
            tidemill_observe::global().record_segment();
            if put == PutResult::Conflict {
                // The key names this very file: an earlier build of Tidemill wrote the same rows.
                tracing::warn!("`{}` is there already, in another encoding", segment.key);
            }
        }
        if contents.damaged > 0 || !unreadable.is_empty() {
            let (sealed, lost) = (contents.records.len() - unreadable.len(), contents.damaged);
            let reasons: String = unreadable.iter().map(|error| format!("; {error}")).collect();
            let unreadable = unreadable.len();
            return keep_aside(
                path,
                &format!(
                    "{lost} bytes of it are damaged, and {unreadable} records cannot be read{reasons}; {sealed} requests of it are sealed"
                ),
            );
        }
        std::fs::remove_file(path)
            .and_then(|()| sync_parent_dir(path))
            .map_err(|e| write_error(path, &e))
    }
}

/// Makes a file of an earlier process readable to the end. One that cannot be is dealt with when it is sealed.
pub(super) fn prepare_file(path: &Path) {
    if let Err(error) = wal::truncate_torn_tail(path, may_begin_record) {
        tracing::warn!("prediction log: `{}` cannot be prepared: {error}", path.display());
    }
}

fn may_begin_record(bytes: &[u8]) -> bool {
    RecordReader::new(bytes).read_header().is_some()
}

/// Whether the file cannot be read later either.
fn is_lasting(error: &io::Error) -> bool {
    /// `EIO`: the disk cannot read it.
    const DISK_ERROR: i32 = 5;
    error.kind() == io::ErrorKind::PermissionDenied || (cfg!(unix) && error.raw_os_error() == Some(DISK_ERROR))
}

/// Puts a file aside as it is, and says so.
fn keep_aside(path: &Path, reason: &str) -> Result<()> {
    let aside = wal::put_aside(path).map_err(|e| write_error(path, &e))?;
    tracing::error!(
        "prediction log: `{}` is put aside as `{}`: {reason}",
        path.display(),
        aside.display()
    );
    Ok(())
}

/// The segments of records. Records that do not fit into one segment become several; those that cannot be read are left out, each with its
/// error. The same records always give the same segments.
pub(super) fn build_parts(
    name: &str,
    records: &[&[u8]],
    models: &BTreeMap<String, LoggedModel>,
    unreadable: &mut Vec<Error>,
) -> Vec<Segment> {
    let error = match build_segments(name, records.iter().copied(), models) {
        Ok(segments) => return segments,
        Err(error) => error,
    };
    if records.len() <= 1 {
        unreadable.push(error);
        return Vec::new();
    }
    let (first, second) = records.split_at(records.len() / 2);
    let mut segments = build_parts(&format!("{name}-0"), first, models, unreadable);
    segments.extend(build_parts(&format!("{name}-1"), second, models, unreadable));
    segments
}
