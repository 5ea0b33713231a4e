//! Objects as files. What `object_store` lacks for local files is here: compare-and-swap, by a lock across processes.
//!
//! A write is a new file, synced, then linked or renamed into place: a reader sees the old bytes or the new, and a crash
//! leaves at most a file under `.tidemill/tmp` that the next start sweeps away.

use std::{
    fs::{self, File},
    io::{self, ErrorKind as Io, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use fs4::fs_std::FileExt;
use tempfile::NamedTempFile;
use tidemill_core::{Digest, Error, Hasher, ObjectMeta, PutResult, Result};

use crate::{MAX_OBJECT_SIZE, error::too_large, key::RESERVED_DIR};

/// How much of a file is held while it is hashed, in bytes.
const CHUNK_SIZE: usize = 1 << 16;

/// A folder that holds objects.
#[derive(Debug)]
pub(super) struct Local {
    root: PathBuf,
    temporary: PathBuf,
    locks: PathBuf,
}

impl Local {
    pub(super) fn open(root: &Path) -> Result<Self> {
        let local = Self {
            root: root.to_owned(),
            temporary: root.join(RESERVED_DIR).join("tmp"),
            locks: root.join(RESERVED_DIR).join("locks"),
        };
        for folder in [&local.temporary, &local.locks] {
            fs::create_dir_all(folder).map_err(|e| local.io_error("opened", &root.display().to_string(), &e))?;
        }
        local.remove_stale_temporaries();
        Ok(local)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    pub(super) fn get(&self, key: &str, limit: u64) -> Result<Vec<u8>> {
        let read = || {
            let file = self.open_object(key)?;
            let size = file.metadata()?.len();
            let mut bytes = Vec::new();
            if size <= limit {
                bytes.reserve_exact(usize::try_from(size).unwrap_or(0));
                // It may grow meanwhile.
                file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
            }
            Ok((bytes, size))
        };
        let (bytes, size) = read().map_err(|e| self.io_error("read", key, &e))?;
        match size.max(bytes.len() as u64) {
            size if size > limit => Err(too_large(key, size, limit)),
            _ => Ok(bytes),
        }
    }

    /// An object's digest and size, read piece by piece.
    pub(super) fn digest(&self, key: &str) -> Result<(Digest, u64)> {
        let read = || {
            let mut file = self.open_object(key)?;
            let (mut hash, mut size, mut piece) = (Hasher::default(), 0, vec![0; CHUNK_SIZE]);
            loop {
                match file.read(&mut piece)? {
                    0 => return Ok((hash.finish(), size)),
                    length => {
                        hash.update(&piece[..length]);
                        size += length as u64;
                    }
                }
            }
        };
        read().map_err(|e| self.io_error("read", key, &e))
    }

    pub(super) fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Vec<u8>> {
        let read = || {
            let mut file = self.open_object(key)?;
            let rest = file.metadata()?.len().saturating_sub(offset).min(length);
            let mut bytes = Vec::with_capacity(usize::try_from(rest).unwrap_or(0));
            file.seek(SeekFrom::Start(offset))?;
            file.take(rest).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|e| self.io_error("read", key, &e))
    }

    pub(super) fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        match fs::metadata(self.path(key)) {
            Ok(data) => Ok(data.is_file().then(|| ObjectMeta {
                key: key.to_owned(),
                size: data.len(),
            })),
            Err(e) if matches!(e.kind(), Io::NotFound | Io::NotADirectory) => Ok(None),
            Err(e) => Err(self.io_error("read", key, &e)),
        }
    }

    pub(super) fn create(&self, key: &str, bytes: &[u8]) -> Result<PutResult> {
        if let Some(existing) = self.compare_existing(key, bytes)? {
            return Ok(existing);
        }
        match self.create_new(key, bytes) {
            Ok(()) => Ok(PutResult::Written),
            Err(e) if e.kind() == Io::AlreadyExists => match self.compare_existing(key, bytes)? {
                Some(existing) => Ok(existing),
                None => Err(self.io_error("written", key, &io::Error::from(Io::IsADirectory))),
            },
            Err(e) => Err(self.io_error("written", key, &e)),
        }
    }

    pub(super) fn swap(&self, key: &str, expected: Option<&Digest>, bytes: &[u8]) -> Result<PutResult> {
        let Some(expected) = expected else {
            return self.create(key, bytes);
        };
        let _lock = self.lock(key)?;
        match self.get_if_exists(key)? {
            None => Ok(PutResult::Conflict),
            Some(there) if there == bytes => Ok(PutResult::Unchanged),
            Some(there) if Digest::sha256(&there) != *expected => Ok(PutResult::Conflict),
            Some(_) => self
                .rename(key, bytes)
                .map(|()| PutResult::Written)
                .map_err(|e| self.io_error("written", key, &e)),
        }
    }

    pub(super) fn replace(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let _lock = self.lock(key)?;
        self.rename(key, bytes).map_err(|e| self.io_error("written", key, &e))
    }

    pub(super) fn delete(&self, key: &str) -> Result<()> {
        let _lock = self.lock(key)?;
        match fs::remove_file(self.path(key)) {
            Err(e) if !matches!(e.kind(), Io::NotFound | Io::NotADirectory) => Err(self.io_error("removed", key, &e)),
            _ => Ok(()),
        }
    }

    pub(super) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectMeta>> {
        let mut found = Vec::new();
        self.walk(prefix, after.unwrap_or(""), limit, &mut found)
            .map_err(|e| self.io_error("listed", prefix, &e))?;
        Ok(found)
    }

    /// Adds the keys under `prefix` in the order of their bytes: a folder sorts as its name with the `/`.
    fn walk(&self, prefix: &str, after: &str, limit: usize, found: &mut Vec<ObjectMeta>) -> io::Result<()> {
        for (key, path) in self.entries(prefix, after)? {
            if found.len() >= limit {
                return Ok(());
            }
            if key.ends_with('/') {
                self.walk(&key, after, limit, found)?;
            } else if let Ok(data) = fs::metadata(path)
                && data.is_file()
            {
                found.push(ObjectMeta { key, size: data.len() });
            }
        }
        Ok(())
    }

    /// A folder's entries that can hold keys greater than `after`, sorted. A name that is not UTF-8 is no key.
    fn entries(&self, prefix: &str, after: &str) -> io::Result<Vec<(String, PathBuf)>> {
        let folder = match fs::read_dir(self.root.join(prefix)) {
            Err(e) if matches!(e.kind(), Io::NotFound | Io::NotADirectory) => return Ok(Vec::new()),
            other => other?,
        };
        let mut entries = Vec::new();
        for entry in folder {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_folder = entry.file_type()?.is_dir();
            if prefix.is_empty() && name == RESERVED_DIR || crate::key::validate(&name).is_err() {
                continue;
            }
            let key = format!("{prefix}{name}{}", if is_folder { "/" } else { "" });
            if key.as_str() > after || (is_folder && after.starts_with(&key)) {
                entries.push((key, entry.path()));
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn open_object(&self, key: &str) -> io::Result<File> {
        let file = File::open(self.path(key))?;
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(Io::NotFound.into())
        }
    }

    fn get_if_exists(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match self.head(key)? {
            Some(_) => self.get(key, MAX_OBJECT_SIZE).map(Some),
            None => Ok(None),
        }
    }

    /// What a create finds, if something is there. Content of another length is not read.
    fn compare_existing(&self, key: &str, bytes: &[u8]) -> Result<Option<PutResult>> {
        let Some(meta) = self.head(key)? else { return Ok(None) };
        let is_equal = meta.size == bytes.len() as u64 && self.get(key, MAX_OBJECT_SIZE)? == bytes;
        Ok(Some(if is_equal { PutResult::Unchanged } else { PutResult::Conflict }))
    }

    /// The link fails where something is: of many at once, exactly one wins.
    fn create_new(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.write_temporary(bytes)?;
        let path = self.path(key);
        self.create_parent_dirs(&path)?;
        match fs::hard_link(file.path(), &path) {
            Err(e) if matches!(e.kind(), Io::Unsupported | Io::PermissionDenied | Io::TooManyLinks) => self.create_locked(key, file),
            other => other,
        }?;
        sync_parent_dir(&path)
    }

    /// For file systems without hard links.
    fn create_locked(&self, key: &str, file: NamedTempFile) -> io::Result<()> {
        let _lock = self.lock_file(key)?;
        file.persist_noclobber(self.path(key)).map(drop).map_err(|e| e.error)
    }

    fn rename(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.write_temporary(bytes)?;
        let path = self.path(key);
        self.create_parent_dirs(&path)?;
        file.persist(&path).map_err(|e| e.error)?;
        sync_parent_dir(&path)
    }

    /// A synced file that vanishes unless it is given a name.
    fn write_temporary(&self, bytes: &[u8]) -> io::Result<NamedTempFile> {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(object_permissions());
        let mut file = builder.tempfile_in(&self.temporary)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok(file)
    }

    /// Makes the folders above a file, each synced into the one above.
    fn create_parent_dirs(&self, path: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut folder = path.parent();
        while let Some(here) = folder.filter(|here| !here.is_dir()) {
            missing.push(here);
            folder = here.parent();
        }
        for here in missing.into_iter().rev() {
            match fs::create_dir(here) {
                Err(e) if e.kind() == Io::AlreadyExists && here.is_dir() => {}
                other => other?,
            }
            sync_parent_dir(here)?;
        }
        Ok(())
    }

    /// A lock for a whole process; `None` where the file system has none.
    pub(super) fn try_lock(&self, name: &str) -> Result<Option<File>> {
        let path = self.locks.join(name);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|e| self.io_error("locked", name, &e))?;
        match FileExt::try_lock_exclusive(&file) {
            Ok(true) => Ok(Some(file)),
            Ok(false) => Err(Error::config(format!(
                "the store `{}` is in use: another `tidemill up` works on it, of this project or of another one; stop it first",
                self.root.display()
            ))),
            Err(e) => {
                tracing::warn!(
                    "`{}` cannot be locked ({e}): make sure that one `tidemill up` at a time works on it",
                    self.root.display()
                );
                Ok(None)
            }
        }
    }

    fn lock(&self, key: &str) -> Result<File> {
        self.lock_file(key).map_err(|e| self.io_error("locked", key, &e))
    }

    /// Held until the file is dropped. 256 locks for all keys: nothing holds two at once.
    fn lock_file(&self, key: &str) -> io::Result<File> {
        let name = &Digest::sha256(key.as_bytes()).as_str()[..2].to_owned();
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.locks.join(name))?;
        FileExt::lock_exclusive(&file)?;
        Ok(file)
    }

    /// Removes what a crash left half-written more than a day ago.
    fn remove_stale_temporaries(&self) {
        let old = SystemTime::now() - Duration::from_secs(86_400);
        for entry in fs::read_dir(&self.temporary).into_iter().flatten().flatten() {
            if entry.metadata().and_then(|data| data.modified()).is_ok_and(|time| time < old) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn io_error(&self, doing: &str, key: &str, error: &io::Error) -> Error {
        let root = self.root.display();
        match error.kind() {
            Io::NotFound => Error::not_found(format!("`{key}` is not in the store")),
            Io::StorageFull | Io::QuotaExceeded => Error::transient(format!(
                "`{key}` could not be {doing}: the disk that holds `{root}` is full; nothing was left half-written: make room, it is tried again"
            )),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => Error::denied(format!(
                "`{key}` could not be {doing}: the process may not do that in `{root}` ({error}); give its user the right to read and write there"
            )),
            Io::NotADirectory | Io::IsADirectory | Io::DirectoryNotEmpty => Error::input(format!(
                "`{key}` could not be {doing}: a key and a folder would have the same name; a key may not continue another object's key with `/`"
            )),
            _ => Error::transient(format!("`{key}` could not be {doing} in `{root}`: {error}")),
        }
    }
}

/// Makes the creation, the renaming or the removal of a file durable: a name survives a loss of power only when its folder was synced.
pub fn sync_parent_dir(path: &Path) -> io::Result<()> {
    if cfg!(unix)
        && let Some(folder) = path.parent()
    {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Objects are for whoever may enter the folder, unlike temporary files, which are for their owner.
#[cfg(unix)]
fn object_permissions() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o644)
}

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;

    #[test]
    fn a_full_disk_teaches_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(folder.path()).unwrap();
        let error = local.io_error("written", "raw/a.csv", &Io::StorageFull.into());
        assert_eq!(error.kind, ErrorKind::Transient);
        assert!(error.message.contains("is full") && error.message.contains("make room"), "{error}");
        let error = local.io_error("written", "raw/a.csv", &Io::PermissionDenied.into());
        assert_eq!(error.kind, ErrorKind::Denied);
        local.create("a/b", b"1").unwrap();
        assert!(fs::read_dir(&local.temporary).unwrap().next().is_none());
    }

    #[test]
    fn an_object_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(folder.path()).unwrap();
        local.create("a", b"1").unwrap();
        assert_eq!(local.create("a/b", b"1").unwrap_err().kind, ErrorKind::Input);
        local.create("c/d", b"1").unwrap();
        assert_eq!(local.create("c", b"1").unwrap_err().kind, ErrorKind::Input);
        assert_eq!(local.get("c", 1).unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(local.head("a/b").unwrap(), None);
    }

    #[test]
    fn own_files_are_hidden_and_foreign_files_are_objects() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(folder.path()).unwrap();
        fs::create_dir(folder.path().join("raw")).unwrap();
        fs::write(folder.path().join("raw/x.csv"), "a\n1\n").unwrap();
        local.create("z", b"").unwrap();
        let keys: Vec<_> = local.list("", None, 10).unwrap().into_iter().map(|m| m.key).collect();
        assert_eq!(keys, ["raw/x.csv", "z"]);
    }
}
