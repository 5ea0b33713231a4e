//! The object store: create-only and compare-and-swap writes by content, over a folder, S3 or any other backend of `object_store`.
//!
//! Content is compared, never a time or a tag: writing the same bytes twice is [`PutResult::Unchanged`] on every backend. In a component
//! there is S3 alone, through wasi:http, with the same rules.
//!
//! ```
//! use tidemill_core::{Digest, PutResult};
//! use tidemill_store::Store;
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let store = Store::memory();
//! let key = "models/late/aliases/champion.json";
//! assert_eq!(store.create(key, "1".into()).await?, PutResult::Written);
//! assert_eq!(store.create(key, "2".into()).await?, PutResult::Conflict);
//! // Replaces the bytes only if they are the ones that were read.
//! assert_eq!(store.swap(key, Some(&Digest::sha256(b"1")), "2".into()).await?, PutResult::Written);
//! assert_eq!(store.get(key).await?, "2");
//! let found = store.list_all("models/late/").await?;
//! assert_eq!(found.len(), 1);
//! # Ok::<(), tidemill_core::Error>(())
//! # }).unwrap();
//! ```

use std::{path::Path, sync::Arc, time::SystemTime};

use bytes::Bytes;
use tidemill_core::{Digest, Error, ObjectMeta, PutResult, Result};

#[cfg(not(target_family = "wasm"))]
mod blocking;
mod bucket;
#[cfg(not(target_family = "wasm"))]
pub mod conformance;
mod error;
#[cfg(not(target_family = "wasm"))]
mod identity;
mod key;
mod listing;
#[cfg_attr(target_family = "wasm", path = "local_unsupported.rs")]
mod local;
#[cfg(all(target_family = "wasm", feature = "blocking"))]
mod poll_once;
mod remote;
mod s3;
mod serving_view;
mod time;
pub mod transport;
mod variables;

#[cfg(not(target_family = "wasm"))]
pub use blocking::BlockingStore;
pub use bucket::Bucket;
#[cfg(not(target_family = "wasm"))]
pub use identity::StoreLock;
use local::Local;
#[cfg(not(target_family = "wasm"))]
pub use local::sync_parent_dir;
#[cfg(all(target_family = "wasm", feature = "blocking"))]
pub use poll_once::{BlockingStore, ready};
use remote::Remote;
#[cfg(all(target_family = "wasm", feature = "blocking"))]
pub use s3::send;
#[cfg(not(target_family = "wasm"))]
pub use s3::{Message, MessageQueue, https_connector};
pub use serving_view::{ReadError, ServingView};

/// Local objects up to this size are read on the calling thread: moving them to another thread costs more than the read.
const MAX_INLINE_READ: u64 = 256 << 10;

/// Largest object that is read whole: no program holds more of one at once. Larger ones are read in pieces, by SQL or by ranges.
pub const MAX_OBJECT_SIZE: u64 = 1 << 30;

/// Largest record, which is JSON of our own: an outcome, a report, an alias.
pub const MAX_RECORD_SIZE: u64 = 64 << 20;

/// A store of objects. Cheap to clone; all clones are the same store.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Arc<Backend>,
}

/// Changes when an object's content does. Compare it with tokens of the same store only.
pub type ChangeToken = i128;

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key and size.
    pub meta: ObjectMeta,
    /// Changes when the content does.
    pub change_token: ChangeToken,
}

/// The digest and size of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectDigest {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// The number of its bytes.
    pub size: u64,
    /// The same as in a listing.
    pub change_token: ChangeToken,
}

fn into_metas(found: Vec<ListedObject>) -> Vec<ObjectMeta> {
    found.into_iter().map(|stamped| stamped.meta).collect()
}

#[derive(Debug)]
enum Backend {
    Local(Local),
    Remote(Remote),
}

/// Runs a local operation where it may block.
macro_rules! local {
    ($self:ident, |$local:ident| $body:expr) => {{
        let backend = Arc::clone(&$self.backend);
        offload(move || match &*backend {
            Backend::Local($local) => $body,
            Backend::Remote(_) => Err(Error::bug("a remote store was taken for a local one")),
        })
        .await
    }};
}

impl Store {
    /// An empty store in memory. It is dropped with its last clone.
    pub fn memory() -> Self {
        Self::from_object_store(Arc::new(object_store::memory::InMemory::new()))
    }

    /// Opens the store at `location`: a folder, or `s3://bucket/prefix`. For S3, credentials, region and server come from the usual AWS
    /// variables; no request is sent yet.
    ///
    /// # Errors
    /// `Config` if the location or a setting is invalid.
    pub fn open(location: &str) -> Result<Self> {
        Self::open_from(location, s3::environment_settings)
    }

    /// Like [`open`](Self::open), with settings under the names of the AWS variables instead of the environment.
    pub fn open_with(location: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self::open_from(location, || Ok(settings.iter().map(owned).collect()))
    }

    fn open_from(location: &str, settings: impl FnOnce() -> Result<Vec<(String, String)>>) -> Result<Self> {
        if location.starts_with(s3::SCHEME) {
            let backend = Arc::new(Backend::Remote(s3::open(location, settings()?)?));
            return Ok(Self { backend });
        }
        match location.split_once("://") {
            Some((scheme, _)) => Err(Error::config(format!(
                "`{location}` is not where a store can be: `{scheme}` is not known; name a folder, or `s3://bucket/prefix`"
            ))),
            None => Self::local(Path::new(location)),
        }
    }

    /// Opens a folder, and creates it if it is missing. Files that other programs drop there are objects too.
    pub fn local(root: &Path) -> Result<Self> {
        Ok(Self {
            backend: Arc::new(Backend::Local(Local::open(root)?)),
        })
    }

    /// Wraps a backend of `object_store` that has create-only and conditional writes, ordered listings, and entity tags or versions.
    pub fn from_object_store(store: Arc<dyn object_store::ObjectStore>) -> Self {
        Self {
            backend: Arc::new(Backend::Remote(Remote::new(store))),
        }
    }

    /// Reads an object of up to [`MAX_OBJECT_SIZE`].
    ///
    /// # Errors
    /// `NotFound` if it does not exist, `Limit` if it is larger.
    pub async fn get(&self, key: &str) -> Result<Bytes> {
        self.get_at_most(key, MAX_OBJECT_SIZE).await
    }

    /// Reads a record: an object of up to [`MAX_RECORD_SIZE`].
    ///
    /// # Errors
    /// `NotFound` if it does not exist, `Limit` if it is larger.
    pub async fn get_record(&self, key: &str) -> Result<Bytes> {
        self.get_at_most(key, MAX_RECORD_SIZE).await
    }

    /// Reads an object of up to `limit` bytes. Of a larger one nothing is read.
    ///
    /// # Errors
    /// `NotFound` if it does not exist, `Limit` if it is larger.
    pub async fn get_at_most(&self, key: &str, limit: u64) -> Result<Bytes> {
        key::validate(key)?;
        match &*self.backend {
            Backend::Remote(remote) => remote.get(key, limit).await,
            Backend::Local(local) if local.head(key)?.is_none_or(|meta| meta.size <= MAX_INLINE_READ) => {
                local.get(key, limit).map(Bytes::from)
            }
            Backend::Local(_) => {
                let key = key.to_owned();
                local!(self, |local| local.get(&key, limit).map(Bytes::from))
            }
        }
    }

    /// Reads up to `length` bytes from `offset`: fewer at the object's end, none beyond it.
    ///
    /// # Errors
    /// `NotFound` if the object does not exist.
    pub async fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes> {
        key::validate(key)?;
        match &*self.backend {
            Backend::Remote(remote) => remote.get_range(key, offset, length).await,
            Backend::Local(local) if length <= MAX_INLINE_READ => local.get_range(key, offset, length).map(Bytes::from),
            Backend::Local(_) => {
                let key = key.to_owned();
                local!(self, |local| local.get_range(&key, offset, length).map(Bytes::from))
            }
        }
    }

    /// Returns an object's size, or `None` if it does not exist.
    pub async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        key::validate(key)?;
        match &*self.backend {
            Backend::Remote(remote) => remote.head(key).await,
            Backend::Local(local) => local.head(key),
        }
    }

    /// Creates an object. Of concurrent calls with different bytes, exactly one returns [`PutResult::Written`].
    pub async fn create(&self, key: &str, bytes: Bytes) -> Result<PutResult> {
        key::validate(key)?;
        match &*self.backend {
            Backend::Remote(remote) => remote.create(key, bytes).await,
            Backend::Local(_) => {
                let key = key.to_owned();
                local!(self, |local| local.create(&key, &bytes))
            }
        }
    }

    /// Replaces the bytes whose SHA-256 is `expected`; `None` requires that the object does not exist.
    pub async fn swap(&self, key: &str, expected: Option<&Digest>, bytes: Bytes) -> Result<PutResult> {
        key::validate(key)?;
        match &*self.backend {
            Backend::Remote(remote) => remote.swap(key, expected, bytes).await,
            Backend::Local(_) => {
                let (key, expected) = (key.to_owned(), expected.cloned());
                local!(self, |local| local.swap(&key, expected.as_ref(), &bytes))
            }
        }
    }

    /// Writes unconditionally: only for objects that are neither hashed nor decided upon, such as statistics of a run.
    pub async fn replace(&self, key: &str, bytes: Bytes) -> Result<()> {
        key::validate(key)?;
        match &*self.backend {
            Backend::Remote(remote) => remote.replace(key, bytes).await,
            Backend::Local(_) => {
                let key = key.to_owned();
                local!(self, |local| local.replace(&key, &bytes))
            }
        }
    }

    /// Lists up to `limit` keys under `prefix`, ascending by their bytes, greater than `after`. A prefix means whole segments.
    pub async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectMeta>> {
        let prefix = key::normalize_prefix(prefix)?;
        match &*self.backend {
            Backend::Remote(remote) => Ok(into_metas(remote.list(&prefix, after, limit).await?)),
            Backend::Local(_) => {
                let after = after.map(str::to_owned);
                local!(self, |local| local.list(&prefix, after.as_deref(), limit))
            }
        }
    }

    /// Lists all keys under `prefix`, ascending by their bytes.
    pub async fn list_all(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        self.list(prefix, None, usize::MAX).await
    }

    /// Lists all objects under `prefix`, ascending by key, each with its change token.
    pub async fn list_with_tokens(&self, prefix: &str) -> Result<Vec<ListedObject>> {
        if let Backend::Remote(remote) = &*self.backend {
            return remote.list(&key::normalize_prefix(prefix)?, None, usize::MAX).await;
        }
        let stamped = |meta: ObjectMeta| ListedObject {
            change_token: self.file_change_token(&meta.key),
            meta,
        };
        Ok(self.list(prefix, None, usize::MAX).await?.into_iter().map(stamped).collect())
    }

    /// Hashes an object piece by piece: it may be larger than memory.
    ///
    /// # Errors
    /// `NotFound` if it does not exist.
    pub async fn digest(&self, key: &str) -> Result<ObjectDigest> {
        key::validate(key)?;
        match &*self.backend {
            Backend::Remote(remote) => remote.copy_to(key, &mut std::io::sink()).await,
            Backend::Local(_) => {
                // Taken before the bytes are read: a change in between shows the next time.
                let stamp = self.file_change_token(key);
                let key = key.to_owned();
                let (digest, size) = local!(self, |local| local.digest(&key))?;
                Ok(ObjectDigest {
                    digest,
                    size,
                    change_token: stamp,
                })
            }
        }
    }

    /// The change token of an object that is a file: its time in Unix nanoseconds. 0 for any other.
    pub fn file_change_token(&self, key: &str) -> ChangeToken {
        let modified = || std::fs::metadata(self.local_root()?.join(key)).ok()?.modified().ok();
        let since = modified().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        since.map_or(0, |time| i128::try_from(time.as_nanos()).unwrap_or(0))
    }

    /// Removes an object. An object that does not exist is not an error.
    pub async fn delete(&self, key: &str) -> Result<()> {
        key::validate(key)?;
        match &*self.backend {
            Backend::Remote(remote) => remote.delete(key).await,
            Backend::Local(_) => {
                let key = key.to_owned();
                local!(self, |local| local.delete(&key))
            }
        }
    }

    /// The folder, if the objects are files.
    pub fn local_root(&self) -> Option<&Path> {
        match &*self.backend {
            Backend::Local(local) => Some(local.root()),
            Backend::Remote(_) => None,
        }
    }

    /// The bucket, if the store is in one.
    pub fn bucket(&self) -> Option<&Bucket> {
        match &*self.backend {
            Backend::Local(_) => None,
            Backend::Remote(remote) => remote.endpoint().bucket.as_ref(),
        }
    }
}

#[cfg(not(target_family = "wasm"))]
async fn offload<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Error::transient(format!("a file operation was given up: {e}"))))
}

#[cfg(target_family = "wasm")]
async fn offload<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    work()
}
