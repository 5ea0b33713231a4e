//! An engine's own folder in the cache: no other process reads, replaces or removes its files.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use fs4::fs_std::FileExt;

/// Distinguishes our folders from others in the same place.
const DIR_PREFIX: &str = "tidemill-sql-";

/// A folder that is removed on drop. The folder of a killed process is removed when the next process opens its own.
#[derive(Debug)]
pub(super) struct CacheDir {
    path: PathBuf,
    /// Locked while the folder is used. The lock file is removed after the folder: without it, no process would ever remove the folder.
    _lock: File,
}

impl CacheDir {
    /// Creates a folder in `parent`.
    pub(super) fn open(parent: &Path) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        remove_abandoned(parent)?;
        loop {
            let named = tempfile::Builder::new().prefix(DIR_PREFIX).suffix(".lock").tempfile_in(parent)?;
            // A concurrent cleanup may have removed it as abandoned.
            if FileExt::try_lock_exclusive(named.as_file())? && named.path().exists() {
                let path = named.path().with_extension("");
                create_private(&path)?;
                let (_lock, _) = named.keep().map_err(|e| e.error)?;
                return Ok(Self { path, _lock });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for CacheDir {
    fn drop(&mut self) {
        remove_dir(&self.path);
    }
}

/// The folder may contain private data: only this user has access.
fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Removes a folder, and its lock if that succeeds.
fn remove_dir(folder: &Path) {
    let gone = fs::remove_dir_all(folder).or_else(|e| match e.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(e),
    });
    if gone.is_ok() {
        let _left = fs::remove_file(folder.with_extension("lock"));
    }
}

/// Removes the folders that no process holds.
fn remove_abandoned(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let lock = entry?.path();
        let name = lock.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(DIR_PREFIX) || !name.ends_with(".lock") {
            continue;
        }
        // Held until the folder is removed.
        if let Ok(file) = File::options().read(true).write(true).open(&lock)
            && FileExt::try_lock_exclusive(&file).unwrap_or(false)
        {
            remove_dir(&lock.with_extension(""));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_goes_and_what_is_used_or_of_others_stays() {
        let parent = tempfile::tempdir().unwrap();
        let used = CacheDir::open(parent.path()).unwrap();
        let [left, foreign] = ["tidemill-sql-killed", "postgres"].map(|name| {
            let folder = parent.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("a.parquet"), "a").unwrap();
            fs::write(folder.with_extension("lock"), "").unwrap();
            folder
        });
        let other = CacheDir::open(parent.path()).unwrap();
        assert!(used.path().is_dir() && other.path().is_dir() && !left.exists());
        drop((used, other));
        let names = fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, [foreign.clone(), foreign.with_extension("lock")]);
        assert!(foreign.join("a.parquet").is_file());
    }
}
