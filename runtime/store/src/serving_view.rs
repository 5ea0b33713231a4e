//! The part of a store that a serving component may read, and how fresh it is: the same rule on every host.
//!
//! Aliases are cached, because each request reads one and they seldom change. In a folder, the file's state tells whether to read it again
//! (opening a watched file would also wake its watchers). In a bucket, an object is read again after a moment; while the bucket does not
//! answer, the old bytes are used, so that serving survives an outage of the store.

use std::{
    collections::HashMap,
    fs::Metadata,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tidemill_core::{Error, ErrorKind, Result};

use crate::Store;

/// Keys in one listing at most.
const MAX_PAGE: usize = 1000;
/// A file that was changed more recently may change again without looking different: clocks of file systems tick in milliseconds.
const MIN_FILE_AGE: Duration = Duration::from_millis(100);
/// How long an object of a bucket is used without reading it again.
const ALIAS_TTL: Duration = Duration::from_millis(500);
/// How long a request waits for a bucket when there are old bytes to use.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);

/// A read-only view of the objects that serving needs. Cheap to share.
#[derive(Debug)]
pub struct ServingView {
    store: Store,
    aliases: FreshnessCache,
}

/// Why an object could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// It does not exist.
    NotFound,
    /// Serving may not read it, or the store refused.
    Denied,
    /// The store does not answer. The reason is for a log, not for a client.
    Unavailable(Error),
}

impl ServingView {
    /// A view of the store; nothing is read yet.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            aliases: FreshnessCache::default(),
        }
    }

    /// An object's bytes. In a bucket, an alias may be as old as half a second; all else never changes and is read.
    pub async fn get(&self, key: &str) -> Result<Bytes, ReadError> {
        if !is_servable(key) {
            return Err(ReadError::Denied);
        }
        let read = if key.contains("/aliases/") {
            self.aliases.get(&self.store, key).await
        } else {
            self.store.get(key).await
        };
        read.map_err(to_read_error)
    }

    /// Lists up to 1000 keys under a prefix, ascending, after `after`.
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, ReadError> {
        if !prefix.starts_with("models/") {
            return Err(ReadError::Denied);
        }
        let page = self.store.list(prefix, after, MAX_PAGE).await.map_err(to_read_error)?;
        Ok(page.into_iter().map(|meta| meta.key).collect())
    }
}

/// Versions and aliases, models, fitted transforms, and nothing else.
fn is_servable(key: &str) -> bool {
    key.starts_with("models/") || key.starts_with("candidates/") || (key.starts_with("features/") && key.ends_with("/transform.json"))
}

fn to_read_error(error: Error) -> ReadError {
    match error.kind {
        ErrorKind::NotFound => ReadError::NotFound,
        ErrorKind::Denied => ReadError::Denied,
        _ => ReadError::Unavailable(error),
    }
}

/// Objects with the state of their file, or the time at which they were read from a bucket. Objects of other stores are not cached.
#[derive(Debug, Default)]
struct FreshnessCache {
    files: Mutex<HashMap<String, (FileState, Bytes)>>,
    fetched: Mutex<HashMap<String, (Instant, Bytes)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    file: u64,
    length: u64,
    changed: SystemTime,
}

impl FreshnessCache {
    /// Like [`Store::get`]. In a bucket, the bytes may be as old as half a second.
    async fn get(&self, store: &Store, key: &str) -> Result<Bytes> {
        if store.bucket().is_some() {
            return self.get_remote(store, key).await;
        }
        let state = file_state(store, key);
        if let Some(state) = state
            && let Some((known, bytes)) = self.files.lock().get(key)
            && *known == state
        {
            return Ok(bytes.clone());
        }
        let bytes = store.get(key).await?;
        // The state was read before the bytes: a change in between shows the next time.
        if let Some(state) = state.filter(|state| state.changed.elapsed().is_ok_and(|age| age > MIN_FILE_AGE)) {
            let mut known = self.files.lock();
            known.insert(key.to_owned(), (state, bytes.clone()));
        }
        Ok(bytes)
    }

    async fn get_remote(&self, store: &Store, key: &str) -> Result<Bytes> {
        let known = self.fetched.lock().get(key).cloned();
        let Some((at, old)) = known else {
            let bytes = store.get(key).await?;
            self.fetched.lock().insert(key.to_owned(), (Instant::now(), bytes.clone()));
            return Ok(bytes);
        };
        if at.elapsed() < ALIAS_TTL {
            return Ok(old);
        }
        // One request reads; concurrent ones use the old bytes.
        self.fetched.lock().insert(key.to_owned(), (Instant::now(), old.clone()));
        let answer = crate::time::timeout(REFRESH_TIMEOUT, store.get(key)).await;
        let answer = answer.unwrap_or_else(|_| Err(Error::transient(format!("`{key}`: the store does not answer"))));
        match answer {
            Err(error) if error.kind.is_retryable() => {
                tracing::warn!("an older state of `{key}` is used: {error}");
                Ok(old)
            }
            Err(error) => {
                self.fetched.lock().remove(key);
                Err(error)
            }
            Ok(bytes) => {
                self.fetched.lock().insert(key.to_owned(), (Instant::now(), bytes.clone()));
                Ok(bytes)
            }
        }
    }
}

fn file_state(store: &Store, key: &str) -> Option<FileState> {
    crate::key::validate(key).ok()?;
    let data = std::fs::metadata(store.local_root()?.join(key)).ok()?;
    Some(FileState {
        file: number(&data),
        length: data.len(),
        changed: data.modified().ok()?,
    })
}

#[cfg(unix)]
fn number(data: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(data)
}

#[cfg(not(unix))]
fn number(_data: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use tidemill_core::Digest;

    use super::*;

    #[tokio::test]
    async fn what_serving_needs_and_nothing_else() {
        let store = Store::memory();
        for key in [
            "models/a/versions/1.json",
            "features/a/1/transform.json",
            "features/a/1/train.parquet",
            "raw/x",
        ] {
            store.create(key, "x".into()).await.unwrap();
        }
        let served = ServingView::new(store);
        assert!(served.get("models/a/versions/1.json").await.is_ok());
        assert!(served.get("features/a/1/transform.json").await.is_ok());
        for denied in ["features/a/1/train.parquet", "raw/x", "predictions/a/1.parquet"] {
            assert_eq!(served.get(denied).await, Err(ReadError::Denied), "{denied}");
        }
        assert_eq!(served.get("models/a/versions/2.json").await, Err(ReadError::NotFound));
        assert_eq!(served.list("models/", None).await.unwrap(), ["models/a/versions/1.json"]);
        assert_eq!(served.list("raw/", None).await, Err(ReadError::Denied));
    }

    #[tokio::test]
    async fn a_change_is_seen_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (store, rereads) = (Store::local(folder.path()).unwrap(), FreshnessCache::default());
        assert!(rereads.get(&store, "a/b.json").await.is_err());
        store.create("a/b.json", "0".into()).await.unwrap();
        for n in 0..60u32 {
            let (old, new) = (format!("{}", n % 10), format!("{}", (n + 1) % 10));
            for _ in 0..3 {
                assert_eq!(rereads.get(&store, "a/b.json").await.unwrap(), old.as_bytes());
            }
            if n % 20 == 0 {
                // Long enough to be kept.
                std::thread::sleep(MIN_FILE_AGE * 2);
                assert_eq!(rereads.get(&store, "a/b.json").await.unwrap(), old.as_bytes());
                assert!(rereads.files.lock().contains_key("a/b.json"));
            }
            store
                .swap("a/b.json", Some(&Digest::sha256(old.as_bytes())), new.into())
                .await
                .unwrap();
        }
        store.delete("a/b.json").await.unwrap();
        assert!(rereads.get(&store, "a/b.json").await.is_err());
    }
}
