//! The folder of the demo's projects. What an earlier run left there is removed before the next one, so the folder must be the demo's own,
//! and whatever else a person put into it stays.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use anyhow::Result;
use tidemill_core::Error;

/// Marks a folder that the demo may write to. It stays: an interrupted run is cleared by the next.
const MARKER: &str = ".tidemill-demo";

/// Bytes that must be free before a month: more than it writes with its training.
const MIN_FREE_BYTES: u64 = 256 << 20;

/// The project of the year.
pub fn flights_project(folder: &Path) -> PathBuf {
    folder.join("flights")
}

/// The project of the control.
pub fn control_project(folder: &Path) -> PathBuf {
    folder.join("control")
}

/// A folder while a demo uses it: no other demo does until this is dropped, or the process ends.
#[must_use]
pub struct FolderLock {
    _marker: File,
}

/// Whether the demo made this folder.
pub fn is_own(folder: &Path) -> bool {
    folder.join(MARKER).is_file()
}

/// Creates the folder, or removes from it what an earlier demo made.
///
/// # Errors
/// `Input` if it is no folder, or holds anything and was not made by the demo; `Conflict` if another demo uses it; what the system answers.
pub fn prepare(folder: &Path) -> Result<FolderLock> {
    if !is_own(folder) {
        check_empty(folder)?;
    }
    fs::create_dir_all(folder).map_err(|error| io_error(folder, "created", &error))?;
    let lock = lock(folder)?;
    for project in [flights_project(folder), control_project(folder)] {
        remove(&project)?;
        remove(&project.with_extension("log"))?;
    }
    Ok(lock)
}

/// Fails where the disk is too full for another month: stages would wait for room, and the demo for them.
///
/// # Errors
/// `Transient`, with what is free.
pub fn check_room(folder: &Path) -> Result<()> {
    match fs4::available_space(folder) {
        Ok(free) if free < MIN_FREE_BYTES => Err(room_error(folder, free).into()),
        // A system that does not say has room.
        _ => Ok(()),
    }
}

fn room_error(folder: &Path, free: u64) -> Error {
    Error::transient(format!(
        "the disk that holds `{}` has {} MiB left, and a month of the demo needs {} MiB: make room, or name a folder on another disk with \
         `--dir`",
        folder.display(),
        free >> 20,
        MIN_FREE_BYTES >> 20
    ))
}

fn check_empty(folder: &Path) -> Result<()> {
    let shown = folder.display();
    let refuse = |why: &str| -> Result<()> { Err(Error::input(format!("`{shown}` {why}: name a new folder with `--dir`")).into()) };
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => refuse("is not empty and was not made by the demo, which removes what is there"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => refuse("is not a folder"),
        Err(error) => refuse(&format!("cannot be opened ({error})")),
    }
}

/// Marks the folder, and locks the mark.
fn lock(folder: &Path) -> Result<FolderLock> {
    let path = folder.join(MARKER);
    let marker = File::options().create(true).truncate(false).write(true).open(&path);
    let marker = marker.map_err(|error| io_error(&path, "written", &error))?;
    match marker.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let shown = folder.display();
            Err(Error::conflict(format!(
                "another demo runs in `{shown}`: wait for its end, or name another folder with `--dir`"
            ))
            .into())
        }
        // Some file systems have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(FolderLock { _marker: marker }),
    }
}

fn remove(path: &Path) -> Result<()> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, "removed", &error).into()),
        _ => Ok(()),
    }
}

fn io_error(path: &Path, attempt: &str, error: &io::Error) -> Error {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let message = format!(
        "`{}` cannot be {attempt} ({error}): name another folder with `--dir`",
        path.display()
    );
    match error.kind() {
        PermissionDenied | ReadOnlyFilesystem => Error::denied(message),
        StorageFull | QuotaExceeded => Error::transient(message),
        _ => Error::input(message),
    }
}

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;

    fn kind(error: &anyhow::Error) -> Option<ErrorKind> {
        error.downcast_ref::<Error>().map(|error| error.kind)
    }

    #[test]
    fn what_an_earlier_demo_made_is_removed_and_nothing_else() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let folder = scratch.path().join("a/demo");
        drop(prepare(&folder)?);
        assert!(is_own(&folder));
        for project in [flights_project(&folder), control_project(&folder)] {
            fs::create_dir_all(project.join(".tidemill/store"))?;
            fs::write(project.join("tidemill.toml"), "")?;
            fs::write(project.with_extension("log"), "")?;
        }
        fs::write(folder.join("notes.txt"), "about the demo")?;
        drop(prepare(&folder)?);
        let mut left: Vec<_> = fs::read_dir(&folder)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<_>>()?;
        left.sort();
        assert_eq!(left, [MARKER, "notes.txt"]);
        Ok(())
    }

    #[test]
    fn an_empty_folder_is_taken() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        assert!(!is_own(scratch.path()));
        drop(prepare(scratch.path())?);
        assert!(is_own(scratch.path()));
        Ok(())
    }

    #[test]
    fn a_foreign_folder_is_refused_and_stays() -> Result<()> {
        let foreign = tempfile::tempdir()?;
        // Named as the demo's own are.
        let precious = flights_project(foreign.path()).join("thesis.txt");
        fs::create_dir(flights_project(foreign.path()))?;
        fs::write(&precious, "years of work")?;
        let error = prepare(foreign.path()).err().unwrap();
        assert_eq!(kind(&error), Some(ErrorKind::Input));
        let shown = foreign.path().display().to_string();
        assert!(error.to_string().contains(&shown) && error.to_string().contains("--dir"), "{error}");
        assert_eq!(fs::read_to_string(&precious)?, "years of work");
        assert!(!is_own(foreign.path()), "a refused folder is not marked");

        let error = prepare(&precious).err().unwrap();
        assert_eq!(kind(&error), Some(ErrorKind::Input));
        assert!(error.to_string().contains("thesis.txt` is not a folder"), "{error}");
        assert_eq!(fs::read_to_string(&precious)?, "years of work");
        Ok(())
    }

    #[test]
    fn two_demos_do_not_share_a_folder() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let lock = prepare(scratch.path())?;
        let made = flights_project(scratch.path()).join("tidemill.toml");
        fs::create_dir(flights_project(scratch.path()))?;
        fs::write(&made, "")?;
        let error = prepare(scratch.path()).err().unwrap();
        assert_eq!(kind(&error), Some(ErrorKind::Conflict));
        assert!(error.to_string().contains("another demo runs in `"), "{error}");
        assert!(made.is_file(), "what the other demo made stays");
        drop(lock);
        drop(prepare(scratch.path())?);
        assert!(!made.exists());
        Ok(())
    }

    #[test]
    fn what_cannot_be_written_says_what_to_do() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let file = scratch.path().join("file");
        fs::write(&file, "")?;
        let error = prepare(&file.join("demo")).err().unwrap();
        assert!(error.to_string().contains("--dir"), "{error}");
        for (cause, expected) in [
            (io::ErrorKind::ReadOnlyFilesystem, ErrorKind::Denied),
            (io::ErrorKind::StorageFull, ErrorKind::Transient),
            (io::ErrorKind::InvalidFilename, ErrorKind::Input),
        ] {
            let error = io_error(Path::new("/demo"), "created", &cause.into());
            assert_eq!(error.kind, expected);
            assert!(
                error.message.starts_with("`/demo` cannot be created (") && error.message.ends_with("`--dir`"),
                "{error}"
            );
        }
        Ok(())
    }

    #[test]
    fn a_full_disk_is_named_with_what_is_free() -> Result<()> {
        let error = room_error(Path::new("/demo"), 10 << 20);
        assert_eq!(error.kind, ErrorKind::Transient);
        assert!(
            error.message.contains("`/demo` has 10 MiB left") && error.message.contains("256 MiB"),
            "{error}"
        );
        check_room(Path::new("/no folder"))
    }
}
