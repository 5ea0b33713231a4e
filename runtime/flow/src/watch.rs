//! Events of files that other programs write into a local store. An event is a hint: the periodic listing finds what was missed.

use std::{path::Path, sync::Arc};

use notify::{
    EventKind, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use tidemill_core::layout::is_ignored;

/// An event of a file, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileEvent {
    /// Its writer closed it, or moved it there whole.
    Complete(String),
    /// Something happened; it may still grow, or be gone.
    Touched(String),
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
            send(if complete {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_and_temporary_names_are_ignored() {
        for (key, ignored) in [
            ("raw/a/x.csv", false),
            ("raw/a/.x.csv", true),
            ("raw/.hidden/x.csv", true),
            ("raw/a/x.csv.part", true),
            ("raw/a/x.csv~", true),
        ] {
            assert_eq!(is_ignored(key), ignored, "{key}");
        }
        assert_eq!(key_of(Path::new("/s"), Path::new("/s/raw/x.csv")).as_deref(), Some("raw/x.csv"));
    }
}
