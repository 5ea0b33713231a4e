//! The read-only folder that DuckDB sees: each bound object under the name of its content, and what was made of it.
//!
//! A local object is linked, not copied. Our own writes never change a linked file, but a person may edit a dropped one
//! in place: what a file was when it was hashed is kept, and compared again when the query is over.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use tempfile::NamedTempFile;
use tidemill_core::{Digest, Error, Format, Hasher, Objects as _, Result};

use super::{folder::Folder, text::Text};
use crate::BlockingStore;

/// Where nothing else is said, files that no query uses are removed past this many bytes, the longest unused first.
pub(super) const LIMIT: u64 = 32 << 30;
/// Digests of local files that are remembered.
const MOST_HASHED: usize = 100_000;

/// An object as a file that DuckDB may read.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) key: String,
    pub(crate) digest: Digest,
    file: Arc<Kept>,
}

impl Placed {
    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Bytes of the object.
    pub(super) fn size(&self) -> u64 {
        self.file.stamp.length
    }

    /// Whether the file is still what was hashed.
    pub(super) fn verify(&self) -> Result<()> {
        match self.file.is_whole() {
            true => Ok(()),
            false => Err(Error::transient(format!(
                "`{}` was changed in place while it was read; it is read again",
                self.key
            ))),
        }
    }
}

/// A file of the cache. It is in use as long as anyone but the cache holds it, and stays then.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    stamp: Stamp,
}

impl Kept {
    fn is_whole(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|data| Stamp::of(&data) == self.stamp)
    }
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
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
    folder: Arc<Folder>,
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By path, with the time of the last use. Objects of the same content share one.
    files: HashMap<PathBuf, (Arc<Kept>, Instant)>,
    /// What a local file was found to hold, by the state it was in.
    hashed: HashMap<(PathBuf, Stamp), Digest>,
}

impl Cache {
    /// Opens it in `parent`; `limit` is asked when what earlier processes left there is gone.
    pub(super) fn open(parent: &Path, limit: impl FnOnce() -> u64) -> Result<Self> {
        let folder = Folder::open(parent).map_err(|e| failed(parent, &parent.display().to_string(), &e))?;
        Ok(Self {
            folder: Arc::new(folder),
            limit: limit(),
            state: Mutex::default(),
        })
    }

    /// Keeps the folder as long as the handle.
    pub(super) fn hold(&self) -> Arc<Folder> {
        Arc::clone(&self.folder)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The object as a file named by its digest.
    pub(super) fn place(&self, store: &BlockingStore, key: &str, format: Format) -> Result<Arc<Placed>> {
        let (digest, file) = match store.file(key)? {
            Some(file) => self.place_file(store, key, &file, format)?,
            None => self.place_download(store, key, format)?,
        };
        let key = key.to_owned();
        Ok(Arc::new(Placed { key, digest, file }))
    }

    fn place_file(&self, store: &BlockingStore, key: &str, file: &Path, format: Format) -> Result<(Digest, Arc<Kept>)> {
        store
            .head(key)?
            .ok_or_else(|| Error::not_found(format!("`{key}` is not in the store")))?;
        let stamp = fs::metadata(file).map(|data| Stamp::of(&data)).map_err(|e| self.failed(key, &e))?;
        let source = (file.to_owned(), stamp);
        let known = self.lock().hashed.get(&source).cloned();
        if let Some(digest) = known
            && let Some(kept) = self.kept(&name(&digest, format))
        {
            return Ok((digest, kept));
        }
        let place = || {
            let temporary = self.temporary()?;
            fs::remove_file(temporary.path())?;
            if fs::hard_link(file, temporary.path()).is_err() {
                fs::copy(file, temporary.path())?;
            }
            Ok(temporary)
        };
        let temporary = place().map_err(|e| self.failed(key, &e))?;
        let (digest, stamp) = digest_file(key, temporary.path(), format)?;
        let kept = self.keep(key, temporary, stamp, &name(&digest, format))?;
        let hashed = &mut self.lock().hashed;
        if hashed.len() >= MOST_HASHED {
            hashed.clear();
        }
        hashed.insert(source, digest.clone());
        Ok((digest, kept))
    }

    fn place_download(&self, store: &BlockingStore, key: &str, format: Format) -> Result<(Digest, Arc<Kept>)> {
        let mut temporary = self.temporary().map_err(|e| self.failed(key, &e))?;
        store.download(key, temporary.as_file_mut())?;
        let (digest, stamp) = digest_file(key, temporary.path(), format)?;
        let kept = self.keep(key, temporary, stamp, &name(&digest, format))?;
        Ok((digest, kept))
    }

    /// Keeps what was made of the object `key`, under a name that decides its content.
    pub(super) fn made(&self, key: &str, temporary: NamedTempFile, name: &str) -> Result<Arc<Kept>> {
        let stamp = fs::metadata(temporary.path()).map(|data| Stamp::of(&data));
        self.keep(key, temporary, stamp.map_err(|e| self.failed(key, &e))?, name)
    }

    /// The file of this name, if it is there as it was kept.
    pub(super) fn kept(&self, name: &str) -> Option<Arc<Kept>> {
        self.lock().used(&self.folder().join(name))
    }

    /// Keeps a file that was found in the state `stamp`. One of its name that is there already stays: it may be read just now.
    fn keep(&self, key: &str, temporary: NamedTempFile, stamp: Stamp, name: &str) -> Result<Arc<Kept>> {
        let path = self.folder().join(name);
        let mut state = self.lock();
        if let Some(kept) = state.used(&path) {
            return Ok(kept);
        }
        temporary.persist(&path).map_err(|e| self.failed(key, &e.error))?;
        let kept = Arc::new(Kept { path: path.clone(), stamp });
        state.files.insert(path, (Arc::clone(&kept), Instant::now()));
        state.evict(self.limit);
        Ok(kept)
    }

    /// A file in the cache that vanishes unless it is kept.
    pub(super) fn temporary(&self) -> std::io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(".new-").tempfile_in(self.folder())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failed(&self, key: &str, error: &std::io::Error) -> Error {
        failed(self.folder(), key, error)
    }
}

fn failed(folder: &Path, key: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Error::transient(format!(
            "`{key}` does not fit the cache: the disk that holds `{}` is full; make room, it is tried again",
            folder.display()
        )),
        _ => Error::transient(format!("`{key}` could not be placed in the cache `{}`: {error}", folder.display())),
    }
}

impl State {
    fn used(&mut self, path: &Path) -> Option<Arc<Kept>> {
        let (kept, used) = self.files.get_mut(path).filter(|(kept, _)| kept.is_whole())?;
        *used = Instant::now();
        Some(Arc::clone(kept))
    }

    /// Removes files that no query uses until what is left takes no more than `limit` bytes, the longest unused first.
    fn evict(&mut self, limit: u64) {
        let mut total: u64 = self.files.values().map(|(kept, _)| kept.stamp.length).sum();
        while total > limit {
            let idle = self.files.iter().filter(|(_, (kept, _))| Arc::strong_count(kept) == 1);
            let Some(path) = idle.min_by_key(|(_, (_, used))| *used).map(|(path, _)| path.clone()) else {
                return;
            };
            if let Some((gone, _)) = self.files.remove(&path) {
                total -= gone.stamp.length;
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// A name for what holds these bytes.
fn name(digest: &Digest, format: Format) -> String {
    let ending = match format {
        Format::Parquet => "parquet",
        Format::Csv => "csv",
        Format::JsonLines => "jsonl",
    };
    format!("{digest}.{ending}")
}

/// Hashes a file and, where it is text, makes sure that it is UTF-8. With the state that it was in before: a change while it is hashed shows.
fn digest_file(key: &str, path: &Path, format: Format) -> Result<(Digest, Stamp)> {
    let failed = |e: std::io::Error| Error::transient(format!("`{key}` could not be read: {e}"));
    let mut file = File::open(path).map_err(failed)?;
    let stamp = file.metadata().map(|data| Stamp::of(&data)).map_err(failed)?;
    let mut hash = Hasher::default();
    let mut text = (format != Format::Parquet).then(|| Text::new(key));
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            break;
        }
        hash.update(&buffer[..length]);
        if let Some(text) = &mut text {
            text.take(&buffer[..length])?;
        }
    }
    if let Some(text) = text {
        text.end()?;
    }
    Ok((hash.finish(), stamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    /// A cache of 100 bytes, and objects of 60 each but one: `a` and `b` of one content, `c`, `d` and `e` of their own.
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
        let place = |key| cache.place(&store, key, Format::Csv).unwrap();
        let used = place("a");
        // Placed once more and let go: the one above is used still.
        drop(place("b"));
        let (c, d) = (place("c"), place("d"));
        [&used, &c, &d].into_iter().for_each(|placed| placed.verify().unwrap());
        let paths = [&c, &d].map(|placed| placed.path().to_owned());
        drop((c, d));
        drop(place("e"));
        assert_eq!(paths.map(|path| path.exists()), [false, false]);
        used.verify().unwrap();
    }

    #[test]
    fn objects_of_one_content_count_once() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, store) = cache(folder.path());
        let place = |key| cache.place(&store, key, Format::Csv).unwrap().path().to_owned();
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
        let placed = cache.place(&store, "a", Format::Csv).unwrap();
        fs::write(placed.path(), "x").unwrap();
        assert!(placed.verify().unwrap_err().message.contains("`a` was changed in place"));
        let again = cache.place(&store, "b", Format::Csv).unwrap();
        assert_eq!(fs::read(again.path()).unwrap(), [b'a'; 60]);
        again.verify().unwrap();
    }
}
