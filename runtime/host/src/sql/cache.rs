//! The read-only folder that DuckDB sees: each bound object under the name of its content.
//!
//! A local object is linked, not copied. Our own writes never change a linked file, but a person may edit a dropped one
//! in place: what a file was when it was hashed is kept, and compared again when the query is over.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tempfile::NamedTempFile;
use tidemill_core::{Digest, Error, Format, Hasher, Objects as _, Result};

use crate::BlockingStore;

/// Where nothing else is said, files that no query uses are removed past this many bytes, the longest unused first.
pub(super) const LIMIT: u64 = 32 << 30;

/// An object as a file that DuckDB may read.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) key: String,
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    stamp: Stamp,
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

impl Placed {
    /// Whether the file is still what was hashed.
    pub(super) fn verify(&self) -> Result<()> {
        match fs::metadata(&self.path) {
            Ok(data) if Stamp::of(&data) == self.stamp => Ok(()),
            _ => Err(Error::transient(format!(
                "`{}` was changed in place while it was read; it is read again",
                self.key
            ))),
        }
    }
}

/// Placed objects and their files.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By where they came from and what state that was in, with the time of the last use.
    placed: HashMap<Source, (Arc<Placed>, Instant)>,
    /// What each file was when it was put there: objects of the same content share one.
    files: HashMap<PathBuf, Stamp>,
}

type Source = (PathBuf, Stamp);

impl Cache {
    pub(super) fn open(folder: &Path, limit: u64) -> Result<Self> {
        let cache = Self {
            folder: folder.to_owned(),
            limit,
            state: Mutex::default(),
        };
        fs::create_dir_all(folder).map_err(|e| cache.failed(&folder.display().to_string(), &e))?;
        cache.sweep();
        Ok(cache)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The object as a file named by its digest.
    pub(super) fn place(&self, store: &BlockingStore, key: &str, format: Format) -> Result<Arc<Placed>> {
        match store.file(key)? {
            Some(file) => self.place_file(store, key, &file, format),
            None => self.place_download(store, key, format),
        }
    }

    fn place_file(&self, store: &BlockingStore, key: &str, file: &Path, format: Format) -> Result<Arc<Placed>> {
        store
            .head(key)?
            .ok_or_else(|| Error::not_found(format!("`{key}` is not in the store")))?;
        let stamp = fs::metadata(file).map(|data| Stamp::of(&data)).map_err(|e| self.failed(key, &e))?;
        let source = (file.to_owned(), stamp.clone());
        if let Some((placed, used)) = self.lock().placed.get_mut(&source)
            && placed.verify().is_ok()
        {
            *used = Instant::now();
            return Ok(Arc::clone(placed));
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
        let digest = digest_file(key, temporary.path(), format)?;
        self.keep(key, temporary, digest, format, Some(source))
    }

    fn place_download(&self, store: &BlockingStore, key: &str, format: Format) -> Result<Arc<Placed>> {
        let mut temporary = self.temporary().map_err(|e| self.failed(key, &e))?;
        store.download(key, temporary.as_file_mut())?;
        let digest = digest_file(key, temporary.path(), format)?;
        self.keep(key, temporary, digest, format, None)
    }

    /// The file under its digest's name. One that is there already stays: another object of the same content may be read from it just now.
    fn keep(&self, key: &str, temporary: NamedTempFile, digest: Digest, format: Format, source: Option<Source>) -> Result<Arc<Placed>> {
        let path = self.folder.join(format!("{digest}.{}", ending(format)));
        let stamp_now = || fs::metadata(&path).map(|data| Stamp::of(&data));
        let mut state = self.lock();
        let stamp = match state.files.get(&path) {
            Some(stamp) if stamp_now().is_ok_and(|now| now == *stamp) => stamp.clone(),
            _ => {
                temporary.persist(&path).map_err(|e| self.failed(key, &e.error))?;
                let stamp = stamp_now().map_err(|e| self.failed(key, &e))?;
                state.files.insert(path.clone(), stamp.clone());
                stamp
            }
        };
        // What was downloaded is never looked for again: a source of its own, so that it counts by itself.
        let source = source.unwrap_or_else(|| (path.join(key), stamp.clone()));
        let placed = Arc::new(Placed {
            key: key.to_owned(),
            path,
            digest,
            size: stamp.length,
            stamp,
        });
        state.placed.insert(source, (Arc::clone(&placed), Instant::now()));
        state.evict(self.limit);
        Ok(placed)
    }

    /// A file in the cache that vanishes unless it is kept.
    pub(super) fn temporary(&self) -> std::io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(".new-").tempfile_in(&self.folder)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What earlier processes left: all that is older than a day. A process that still uses one places it anew.
    fn sweep(&self) {
        let old = SystemTime::now() - Duration::from_secs(86_400);
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let is_old = entry
                .metadata()
                .is_ok_and(|data| data.is_file() && data.modified().is_ok_and(|time| time < old));
            if is_old {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    pub(super) fn failed(&self, key: &str, error: &std::io::Error) -> Error {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Error::transient(format!(
                "`{key}` does not fit the cache: the disk that holds `{}` is full; make room, it is tried again",
                self.folder.display()
            )),
            _ => Error::transient(format!(
                "`{key}` could not be placed in the cache `{}`: {error}",
                self.folder.display()
            )),
        }
    }
}

impl State {
    /// Removes files that no query uses until what is left takes no more than `limit` bytes, the longest unused first.
    fn evict(&mut self, limit: u64) {
        let mut total: u64 = self.placed.values().map(|(placed, _)| placed.size).sum();
        while total > limit {
            let idle = self.placed.iter().filter(|(_, (placed, _))| Arc::strong_count(placed) == 1);
            let Some(oldest) = idle.min_by_key(|(_, (_, used))| *used).map(|(source, _)| source.clone()) else {
                return;
            };
            if let Some((gone, _)) = self.placed.remove(&oldest) {
                total -= gone.size;
                if self.placed.values().all(|(placed, _)| placed.path != gone.path) {
                    self.files.remove(&gone.path);
                    let _ = fs::remove_file(&gone.path);
                }
            }
        }
    }
}

fn ending(format: Format) -> &'static str {
    match format {
        Format::Parquet => "parquet",
        Format::Csv => "csv",
        Format::JsonLines => "jsonl",
    }
}

/// Hashes a file and, where it is text, makes sure that it is UTF-8.
fn digest_file(key: &str, path: &Path, format: Format) -> Result<Digest> {
    let failed = |e: std::io::Error| Error::transient(format!("`{key}` could not be read: {e}"));
    let mut file = File::open(path).map_err(failed)?;
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
    Ok(hash.finish())
}

/// Checks text as it streams by: a character may be cut by the end of a piece.
struct Text<'a> {
    key: &'a str,
    lines: u64,
    cut: Vec<u8>,
}

impl<'a> Text<'a> {
    fn new(key: &'a str) -> Self {
        Self {
            key,
            lines: 1,
            cut: Vec::new(),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let joined;
        let bytes = if self.cut.is_empty() {
            bytes
        } else {
            joined = [std::mem::take(&mut self.cut).as_slice(), bytes].concat();
            &joined
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => self.lines += count_lines(text.as_bytes()),
            Err(e) => {
                self.lines += count_lines(&bytes[..e.valid_up_to()]);
                let rest = &bytes[e.valid_up_to()..];
                if e.error_len().is_some() {
                    return Err(self.foreign(rest[0]));
                }
                self.cut = rest.to_vec();
            }
        }
        Ok(())
    }

    fn end(self) -> Result<()> {
        match self.cut.first() {
            Some(byte) => Err(self.foreign(*byte)),
            None => Ok(()),
        }
    }

    fn foreign(&self, byte: u8) -> Error {
        Error::input(format!(
            "`{}` is not UTF-8: the byte 0x{byte:02X} in line {} does not belong there; save it as UTF-8, for example with `iconv -f latin1 -t utf-8`",
            self.key, self.lines
        ))
    }
}

#[allow(clippy::naive_bytecount)]
fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
