//! An engine's own folder in the cache: no other process reads, replaces or removes what lies there.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use fs4::fs_std::FileExt;
use tempfile::NamedTempFile;

/// Removed when it is dropped; what a process that was killed left goes when the next one opens its own.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Locked as long as the folder is used; removed after it.
    _lock: NamedTempFile,
}

impl Folder {
    /// A new folder in `parent`.
    pub(super) fn open(parent: &Path) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        sweep(parent)?;
        loop {
            let lock = tempfile::Builder::new().prefix("engine-").suffix(".lock").tempfile_in(parent)?;
            // Who sweeps may have taken it for one that was left.
            if FileExt::try_lock_exclusive(lock.as_file())? && lock.path().exists() {
                let path = lock.path().with_extension("");
                fs::create_dir(&path)?;
                return Ok(Self { path, _lock: lock });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders that no process holds any more.
fn sweep(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let lock = entry?.path();
        let is_lock = lock.extension().is_some_and(|ending| ending == "lock");
        let Some(file) = is_lock.then(|| File::open(&lock).ok()).flatten() else {
            continue;
        };
        if FileExt::try_lock_exclusive(&file)? {
            let _gone = fs::remove_dir_all(lock.with_extension(""));
            let _gone = fs::remove_file(&lock);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_goes_and_what_is_used_stays() {
        let parent = tempfile::tempdir().unwrap();
        let used = Folder::open(parent.path()).unwrap();
        let left = parent.path().join("engine-killed");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("a.parquet"), "a").unwrap();
        fs::write(left.with_extension("lock"), "").unwrap();
        let other = Folder::open(parent.path()).unwrap();
        assert!(used.path().is_dir() && other.path().is_dir() && !left.exists());
        drop((used, other));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
