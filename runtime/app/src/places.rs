//! Where a project keeps what belongs to one store: the prediction log and the queue.
//!
//! Rows that were acknowledged for a store are sealed into that store and no other, whatever store the project is opened with the next time.
//! The usual names are those of the store that used them first; each other store has its own.

use std::path::{Path, PathBuf};

use tidemill_core::{Error, Result};
use tidemill_store::Store;

use crate::Project;

/// The file that names the store whose log and queue have the usual names.
const OWNER: &str = "store-id";

/// The places of one store.
#[derive(Debug)]
pub(crate) struct StorePlaces {
    /// The folder of the prediction log.
    pub(crate) log: PathBuf,
    /// The file of the queue.
    pub(crate) queue: PathBuf,
}

impl StorePlaces {
    /// Finds the places, by the name that the store has for itself.
    ///
    /// # Errors
    /// `Config` if the project's state cannot be read and written.
    pub(crate) fn find(project: &Project, store: &Store) -> Result<Self> {
        let identity = store.identity()?;
        let suffix = match read_owner(project)? {
            Some(owner) if owner == identity => String::new(),
            None if project.is_own_store() => {
                write_owner(project, &identity)?;
                String::new()
            }
            _ => format!("-{identity}"),
        };
        let places = Self {
            log: project.state_path(&format!("log{suffix}")),
            queue: project.state_path(&format!("queue{suffix}.redb")),
        };
        warn_of_other_logs(project, &places.log);
        Ok(places)
    }
}

fn read_owner(project: &Project) -> Result<Option<String>> {
    let path = project.state_path(OWNER);
    match std::fs::read_to_string(&path) {
        Ok(owner) => Ok(Some(owner.trim().to_owned()).filter(|owner| !owner.is_empty())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(state_error(&path, &e)),
    }
}

fn write_owner(project: &Project, identity: &str) -> Result<()> {
    let path = project.state_path(OWNER);
    let folder = project.state_path("");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&path, identity))
        .map_err(|e| state_error(&path, &e))
}

fn state_error(path: &Path, error: &std::io::Error) -> Error {
    Error::config(format!(
        "`{}` cannot be read and written: {error}; it names the store whose predictions wait beside it",
        path.display()
    ))
}

/// Predictions that wait for another store stay until the project is served with that one.
fn warn_of_other_logs(project: &Project, own: &Path) {
    for folder in std::fs::read_dir(project.state_path("")).into_iter().flatten().flatten() {
        let is_log = folder.file_name().to_string_lossy().starts_with("log");
        if is_log && folder.path() != own && has_unsealed(&folder.path()) {
            tracing::warn!(
                "`{}` holds predictions that were acknowledged for another store: they are sealed when `tidemill up` runs with that one",
                folder.path().display()
            );
        }
    }
}

fn has_unsealed(folder: &Path) -> bool {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|file| file.path())
        .any(|path| path.extension().is_some_and(|ending| ending == "wal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_store_has_its_own_log_and_queue() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(crate::PROJECT_FILE), "[project]\nname = \"x\"\n").unwrap();
        let other = folder.path().join("other").display().to_string();
        let log_of = |store: Option<&str>| {
            let project = Project::find(Some(folder.path()), store).unwrap();
            let places = StorePlaces::find(&project, &project.open_store().unwrap()).unwrap();
            (
                places.log.file_name().unwrap().to_owned(),
                places.queue.file_name().unwrap().to_owned(),
            )
        };
        let first = log_of(Some(&other));
        assert_ne!(first.0, "log", "the project's own store has the usual names");
        let own = log_of(None);
        assert_eq!((own.0.to_str(), own.1.to_str()), (Some("log"), Some("queue.redb")));
        assert_eq!(log_of(Some(&other)), first);
        // The project moves to the other store, and back.
        std::fs::write(
            folder.path().join(crate::PROJECT_FILE),
            "[project]\nname = \"x\"\n[store]\npath = \"other\"\n",
        )
        .unwrap();
        assert_eq!(log_of(None), first);
        assert_eq!(log_of(Some(&folder.path().join(".tidemill/store").display().to_string())), own);
    }
}
