//! A cache of objects that each request reads and that seldom change, such as aliases.
//!
//! In a folder, the file's state tells whether to read it again (opening a watched file would also wake its watchers). In a bucket, an
//! object is read again after a moment; while the bucket does not answer, the old bytes are used, so that serving survives an outage of
//! the store.

use std::{
    collections::HashMap,
    fs::Metadata,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tidemill_core::{Error, Result};

use crate::Store;

/// A file that was changed more recently may change again without looking different: clocks of file systems tick in milliseconds.
const MIN_FILE_AGE: Duration = Duration::from_millis(100);
/// How long an object of a bucket is used without reading it again.
const ALIAS_TTL: Duration = Duration::from_millis(500);
/// How long a request waits for a bucket when there are old bytes to use.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);

/// Objects with the state of their file, or the time at which they were read from a bucket. Objects of other stores are not cached.
#[derive(Debug, Default)]
pub struct FreshnessCache {
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
    pub async fn get(&self, store: &Store, key: &str) -> Result<Bytes> {
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
        let known = self.lock_fetched().get(key).cloned();
        let Some((at, old)) = known else {
            let bytes = store.get(key).await?;
            self.lock_fetched().insert(key.to_owned(), (Instant::now(), bytes.clone()));
            return Ok(bytes);
        };
        if at.elapsed() < ALIAS_TTL {
            return Ok(old);
        }
        // One request reads; concurrent ones use the old bytes.
        self.lock_fetched().insert(key.to_owned(), (Instant::now(), old.clone()));
        let answer = crate::time::timeout(REFRESH_TIMEOUT, store.get(key)).await;
        let answer = answer.unwrap_or_else(|_| Err(Error::transient(format!("`{key}`: the store does not answer"))));
        match answer {
            Err(error) if error.kind.is_retryable() => {
                tracing::warn!("an older state of `{key}` is used: {error}");
                Ok(old)
            }
            Err(error) => {
                self.lock_fetched().remove(key);
                Err(error)
            }
            Ok(bytes) => {
                self.lock_fetched().insert(key.to_owned(), (Instant::now(), bytes.clone()));
                Ok(bytes)
            }
        }
    }

    fn lock_fetched(&self) -> MutexGuard<'_, HashMap<String, (Instant, Bytes)>> {
        self.fetched.lock()
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
