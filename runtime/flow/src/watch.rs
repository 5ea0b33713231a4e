//! Files that other programs write into a local store: their events, and those that may still grow. An event is a hint: the periodic
//! listing finds what was missed. A file counts when its writer closed it, or when it did not change between two looks.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use notify::{
    EventKind, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use parking_lot::Mutex;
use tidemill_core::layout::is_ignored;

use crate::clock;

/// Between two looks at a file that may still grow.
pub(crate) const STABILITY_INTERVAL: Duration = Duration::from_millis(100);
/// A file that was not changed for so long needs no second look.
const STABLE_AGE: Duration = Duration::from_secs(2);

/// An event of a file, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileEvent {
    /// Its writer closed it, or moved it there whole.
    Complete(String),
    /// Something happened; it may still grow, or be gone.
    Touched(String),
    /// A folder was made or moved there. What was put into it at once has no event: the system did not watch it yet.
    Folder(String),
}

/// Watches until dropped. Where the system cannot, `None`: then the listing alone finds files.
pub(crate) fn watch(root: &Path, send: Arc<dyn Fn(FileEvent) + Send + Sync>) -> Option<notify::RecommendedWatcher> {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let base = root.clone();
    let handler = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let complete = matches!(
            event.kind,
            EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both))
        );
        if matches!(event.kind, EventKind::Access(AccessKind::Open(_) | AccessKind::Read)) {
            return;
        }
        for path in &event.paths {
            let Some(key) = key_of(&base, path).filter(|key| !is_ignored(key)) else {
                continue;
            };
            let may_be_folder = complete || matches!(event.kind, EventKind::Create(_));
            send(if may_be_folder && path.is_dir() {
                FileEvent::Folder(key)
            } else if complete {
                FileEvent::Complete(key)
            } else {
                FileEvent::Touched(key)
            });
        }
    };
    let watched = notify::recommended_watcher(handler).and_then(|mut watcher| {
        watcher.watch(&root, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    watched
        .inspect_err(|e| tracing::warn!("the store cannot be watched ({e}); new files are found by listing"))
        .ok()
}

fn key_of(root: &Path, path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path.strip_prefix(root).ok()?.components().map(|c| c.as_os_str().to_str()).collect();
    parts.map(|parts| parts.join("/")).filter(|key| !key.is_empty())
}

/// Files that may still grow, by their keys.
#[derive(Default)]
pub(crate) struct SettlingFiles(Mutex<BTreeMap<String, PendingFile>>);

/// A file at its first look.
struct PendingFile {
    size: u64,
    modified: i128,
    at: Instant,
    /// When the file was first looked at, by the flow's clock.
    arrived: i64,
}

impl SettlingFiles {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.0.lock().keys().cloned().collect()
    }

    /// When the oldest file under a prefix was first looked at.
    pub(crate) fn oldest_arrival(&self, prefix: &str) -> Option<i64> {
        let files = self.0.lock();
        let under = files.iter().filter(|(key, _)| key.starts_with(prefix));
        under.map(|(_, file)| file.arrived).min()
    }

    pub(crate) fn remove(&self, key: &str) {
        self.0.lock().remove(key);
    }

    /// Whether the file of this size and modification time (Unix nanoseconds) is complete; else it is looked at again.
    pub(crate) fn is_stable(&self, key: &str, size: u64, modified: i128) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let age = now.map_or(0, |now| now.as_nanos() as i128 - modified);
        if age > STABLE_AGE.as_nanos() as i128 {
            return true;
        }
        let mut files = self.0.lock();
        match files.get(key) {
            Some(file) if file.size == size && file.modified == modified => file.at.elapsed() >= STABILITY_INTERVAL,
            known => {
                let file = PendingFile {
                    size,
                    modified,
                    at: Instant::now(),
                    arrived: known.map_or_else(clock::now, |file| file.arrived),
                };
                files.insert(key.to_owned(), file);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_paths_below_the_store() {
        assert_eq!(key_of(Path::new("/s"), Path::new("/s/raw/x.csv")).as_deref(), Some("raw/x.csv"));
    }

    #[test]
    fn a_file_that_grows_is_not_stable() {
        let files = SettlingFiles::default();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i128;
        assert!(files.is_stable("old", 1, 0) && files.is_empty());
        assert!(!files.is_stable("new", 1, now));
        std::thread::sleep(STABILITY_INTERVAL);
        assert!(!files.is_stable("new", 2, now + 1));
        std::thread::sleep(STABILITY_INTERVAL);
        assert!(files.is_stable("new", 2, now + 1));
    }
}
