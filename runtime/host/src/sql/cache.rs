//! The read-only folder that DuckDB sees: each bound object as a file named by its content, and the files derived from it.
//!
//! A local object is linked, not copied. Tidemill's own writes never change a linked file, but a user may edit a file in place: the state
//! of a file is therefore recorded when it is hashed, and compared again when the query is over.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime},
};

use parking_lot::{Mutex, MutexGuard};
use tempfile::NamedTempFile;
use tidemill_core::{Digest, Error, Format, Hasher, Objects as _, Result};
use tidemill_store::BlockingStore;

use super::{cache_dir::CacheDir, job::SourceFile, utf8::Utf8Check};

/// Default size limit of the cache: above it, files that no query uses are removed, least recently used first.
pub(super) const DEFAULT_MAX_BYTES: u64 = 32 << 30;
/// Maximum number of local files whose digests are remembered.
const MAX_HASHED: usize = 100_000;

/// An object as a file that DuckDB can read.
#[derive(Debug)]
pub(crate) struct CachedFile {
    pub(crate) key: String,
    pub(crate) digest: Digest,
    entry: Arc<CacheEntry>,
}

impl CachedFile {
    pub(super) fn path(&self) -> &Path {
        &self.entry.path
    }

    /// The object for an executor.
    pub(super) fn source(&self) -> SourceFile {
        SourceFile {
            key: self.key.clone(),
            path: self.entry.path.clone(),
        }
    }

    /// Size of the object in bytes.
    pub(super) fn size(&self) -> u64 {
        self.entry.state.length
    }

    /// Checks that the file is unchanged since it was hashed.
    pub(super) fn verify(&self) -> Result<()> {
        match self.entry.is_unchanged() {
            true => Ok(()),
            false => Err(Error::transient(format!(
                "`{}` was changed in place while it was read; it is read again",
                self.key
            ))),
        }
    }
}

/// A file of the cache. It is in use, and is not removed, while anything besides the cache holds it.
#[derive(Debug)]
pub(super) struct CacheEntry {
    pub(super) path: PathBuf,
    state: FileState,
}

impl CacheEntry {
    fn is_unchanged(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|data| FileState::of(&data) == self.state)
    }
}

/// The state of a file, compared to detect changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FileState {
    length: u64,
    modified: Option<SystemTime>,
}

impl FileState {
    fn of(data: &Metadata) -> Self {
        Self {
            length: data.len(),
            modified: data.modified().ok(),
        }
    }
}

/// The files of one engine.
#[derive(Debug)]
pub(super) struct Cache {
    folder: Arc<CacheDir>,
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By path, with the time of the last use. Objects with the same content share one entry.
    files: HashMap<PathBuf, (Arc<CacheEntry>, Instant)>,
    /// Digests of local files, by path and state.
    hashed: HashMap<(PathBuf, FileState), Digest>,
}

impl Cache {
    /// Opens the cache in `parent`. `limit` is called after the files of earlier processes are removed.
    pub(super) fn open(parent: &Path, limit: impl FnOnce() -> u64) -> Result<Self> {
        let folder = CacheDir::open(parent).map_err(|e| io_error(parent, &parent.display().to_string(), &e))?;
        Ok(Self {
            folder: Arc::new(folder),
            limit: limit(),
            state: Mutex::default(),
        })
    }

    /// Returns a handle that keeps the folder while it is held.
    pub(super) fn hold_dir(&self) -> Arc<CacheDir> {
        Arc::clone(&self.folder)
    }

    pub(super) fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Adds an object as a file named by its digest.
    pub(super) fn insert(&self, store: &BlockingStore, key: &str, format: Format) -> Result<Arc<CachedFile>> {
        let (digest, file) = match store.file_path(key)? {
            Some(file) => self.insert_file(store, key, &file, format)?,
            None => self.insert_download(store, key, format)?,
        };
        let key = key.to_owned();
        Ok(Arc::new(CachedFile { key, digest, entry: file }))
    }

    fn insert_file(&self, store: &BlockingStore, key: &str, file: &Path, format: Format) -> Result<(Digest, Arc<CacheEntry>)> {
        store
            .head(key)?
            .ok_or_else(|| Error::not_found(format!("`{key}` is not in the store")))?;
        let stamp = fs::metadata(file)
            .map(|data| FileState::of(&data))
            .map_err(|e| self.io_error(key, &e))?;
        let source = (file.to_owned(), stamp);
        let known = self.lock().hashed.get(&source).cloned();
        if let Some(digest) = known
            && let Some(kept) = self.get(&file_name(&digest, format))
        {
            return Ok((digest, kept));
        }
        let place = || {
            let temporary = self.create_temporary()?;
            fs::remove_file(temporary.path())?;
            // A symbolic link in the store is not linked itself: its target may be named from where it stands.
            let file = fs::canonicalize(file)?;
            if fs::hard_link(&file, temporary.path()).is_err() {
                fs::copy(&file, temporary.path())?;
            }
            Ok(temporary)
        };
        let temporary = place().map_err(|e| self.io_error(key, &e))?;
        let (digest, stamp) = digest_file(key, temporary.path(), format)?;
        let kept = self.persist(key, temporary, stamp, &file_name(&digest, format))?;
        let hashed = &mut self.lock().hashed;
        if hashed.len() >= MAX_HASHED {
            hashed.clear();
        }
        hashed.insert(source, digest.clone());
        Ok((digest, kept))
    }

    fn insert_download(&self, store: &BlockingStore, key: &str, format: Format) -> Result<(Digest, Arc<CacheEntry>)> {
        let mut temporary = self.create_temporary().map_err(|e| self.io_error(key, &e))?;
        store.download(key, temporary.as_file_mut())?;
        let (digest, stamp) = digest_file(key, temporary.path(), format)?;
        let kept = self.persist(key, temporary, stamp, &file_name(&digest, format))?;
        Ok((digest, kept))
    }

    /// Adds a file derived from the object `key`, under a name that determines its content.
    pub(super) fn insert_derived(&self, key: &str, temporary: NamedTempFile, name: &str) -> Result<Arc<CacheEntry>> {
        let stamp = fs::metadata(temporary.path()).map(|data| FileState::of(&data));
        self.persist(key, temporary, stamp.map_err(|e| self.io_error(key, &e))?, name)
    }

    /// Returns the file with this name, if it exists and is unchanged.
    pub(super) fn get(&self, name: &str) -> Option<Arc<CacheEntry>> {
        self.lock().touch(&self.dir().join(name))
    }

    /// Adds a file that was in the state `stamp`. An existing file with that name stays: a query may be reading it.
    fn persist(&self, key: &str, temporary: NamedTempFile, stamp: FileState, name: &str) -> Result<Arc<CacheEntry>> {
        let path = self.dir().join(name);
        let mut state = self.lock();
        if let Some(kept) = state.touch(&path) {
            return Ok(kept);
        }
        temporary.persist(&path).map_err(|e| self.io_error(key, &e.error))?;
        let kept = Arc::new(CacheEntry {
            path: path.clone(),
            state: stamp,
        });
        state.files.insert(path, (Arc::clone(&kept), Instant::now()));
        state.evict(self.limit);
        Ok(kept)
    }

    /// Creates a file in the cache that is removed unless it is persisted.
    pub(super) fn create_temporary(&self) -> std::io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(".new-").tempfile_in(self.dir())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn io_error(&self, key: &str, error: &std::io::Error) -> Error {
        io_error(self.dir(), key, error)
    }
}

fn io_error(folder: &Path, key: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Error::transient(format!(
            "`{key}` does not fit the cache: the disk that holds `{}` is full; make room, it is tried again",
            folder.display()
        )),
        _ => Error::transient(format!("`{key}` could not be placed in the cache `{}`: {error}", folder.display())),
    }
}

impl State {
    fn touch(&mut self, path: &Path) -> Option<Arc<CacheEntry>> {
        let (kept, used) = self.files.get_mut(path).filter(|(kept, _)| kept.is_unchanged())?;
        *used = Instant::now();
        Some(Arc::clone(kept))
    }

    /// Removes files that no query uses, least recently used first, until the rest takes at most `limit` bytes.
    fn evict(&mut self, limit: u64) {
        let mut total: u64 = self.files.values().map(|(kept, _)| kept.state.length).sum();
        while total > limit {
            let idle = self.files.iter().filter(|(_, (kept, _))| Arc::strong_count(kept) == 1);
            let Some(path) = idle.min_by_key(|(_, (_, used))| *used).map(|(path, _)| path.clone()) else {
                return;
            };
            if let Some((gone, _)) = self.files.remove(&path) {
                total -= gone.state.length;
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// Returns the name of a file with this content.
fn file_name(digest: &Digest, format: Format) -> String {
    let ending = match format {
        Format::Parquet => "parquet",
        Format::Csv => "csv",
        Format::JsonLines => "jsonl",
    };
    format!("{digest}.{ending}")
}

/// Hashes a file and checks that text is UTF-8. Returns the state from before hashing, so that a change during hashing is detected.
fn digest_file(key: &str, path: &Path, format: Format) -> Result<(Digest, FileState)> {
    let failed = |e: std::io::Error| Error::transient(format!("`{key}` could not be read: {e}"));
    let mut file = File::open(path).map_err(failed)?;
    let stamp = file.metadata().map(|data| FileState::of(&data)).map_err(failed)?;
    let mut hash = Hasher::default();
    let mut text = (format != Format::Parquet).then(|| Utf8Check::new(key));
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            break;
        }
        hash.update(&buffer[..length]);
        if let Some(text) = &mut text {
            text.push(&buffer[..length])?;
        }
    }
    if let Some(text) = text {
        text.finish()?;
    }
    Ok((hash.finish(), stamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    /// A cache of 100 bytes, and objects of 60 bytes each except `small`: `a` and `b` share their content; `c`, `d` and `e` do not.
    fn cache(folder: &Path) -> (Cache, BlockingStore) {
        let store = Store::memory().blocking();
        for (key, text) in [("a", "a"), ("b", "a"), ("c", "c"), ("d", "d"), ("e", "e")] {
            store.create(key, text.repeat(60).as_bytes()).unwrap();
        }
        store.create("small", &[b's'; 30]).unwrap();
        (Cache::open(folder, || 100).unwrap(), store)
    }

    #[test]
    fn what_is_in_use_stays_and_the_longest_unused_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, store) = cache(folder.path());
        let place = |key| cache.insert(&store, key, Format::Csv).unwrap();
        let used = place("a");
        // Inserted again and released: the handle above still uses the file.
        drop(place("b"));
        let (c, d) = (place("c"), place("d"));
        [&used, &c, &d].into_iter().for_each(|placed| placed.verify().unwrap());
        let paths = [&c, &d].map(|placed| placed.path().to_owned());
        drop((c, d));
        drop(place("e"));
        assert_eq!(paths.map(|path| path.exists()), [false, false]);
        used.verify().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_relative_link_is_followed_from_where_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        let store = Store::local(&root).unwrap();
        fs::create_dir_all(root.join("raw/d")).unwrap();
        fs::write(folder.path().join("large.csv"), "a\n1\n").unwrap();
        std::os::unix::fs::symlink("../../../large.csv", root.join("raw/d/x.csv")).unwrap();
        let cache = Cache::open(&folder.path().join("cache"), || 100).unwrap();
        let placed = cache.insert(&store.blocking(), "raw/d/x.csv", Format::Csv).unwrap();
        assert_eq!(fs::read(placed.path()).unwrap(), b"a\n1\n");
    }

    #[test]
    fn objects_of_one_content_count_once() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, store) = cache(folder.path());
        let place = |key| cache.insert(&store, key, Format::Csv).unwrap().path().to_owned();
        let small = place("small");
        for _ in 0..10 {
            assert_eq!(place("a"), place("b"));
        }
        assert!(small.exists());
        place("c");
        assert!(!small.exists());
    }

    #[test]
    fn a_file_of_the_cache_that_was_changed_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, store) = cache(folder.path());
        let placed = cache.insert(&store, "a", Format::Csv).unwrap();
        fs::write(placed.path(), "x").unwrap();
        assert!(placed.verify().unwrap_err().message.contains("`a` was changed in place"));
        let again = cache.insert(&store, "b", Format::Csv).unwrap();
        assert_eq!(fs::read(again.path()).unwrap(), [b'a'; 60]);
        again.verify().unwrap();
    }
}
