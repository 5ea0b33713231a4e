//! The object store: create-only and compare-and-swap by content, over local files, S3 or anything that `object_store` speaks.
//!
//! Content is compared, never a time or a tag: writing the same bytes twice is [`Put::Unchanged`] everywhere. In a component (of Spin,
//! for one) there is S3 alone, through wasi:http, and the same rules.

use std::{path::Path, sync::Arc, time::SystemTime};

use bytes::Bytes;
use tidemill_core::{Digest, Error, ObjectMeta, PutResult, Result};

mod alias_cache;
#[cfg(not(target_family = "wasm"))]
mod blocking;
mod bucket;
#[cfg(not(target_family = "wasm"))]
pub mod conformance;
mod error;
mod key;
mod listing;
#[cfg_attr(target_family = "wasm", path = "nowhere.rs")]
mod local;
#[cfg(all(target_family = "wasm", feature = "blocking"))]
mod ready;
mod remote;
mod s3;
mod serving_view;
mod time;
mod variables;

pub use alias_cache::FreshnessCache;
#[cfg(not(target_family = "wasm"))]
pub use blocking::BlockingStore;
pub use bucket::Bucket;
use local::Local;
#[cfg(all(target_family = "wasm", feature = "blocking"))]
pub use ready::{BlockingStore, ready};
use remote::Remote;
#[cfg(all(target_family = "wasm", feature = "blocking"))]
pub use s3::send;
#[cfg(not(target_family = "wasm"))]
pub use s3::{Message, MessageQueue, https_connector};
pub use serving_view::{ReadError, ServingView};

/// Local objects up to this size are read on the calling thread: handing them to another costs more than the read.
const MAX_INLINE_READ: u64 = 256 << 10;

/// A store of objects. Cheap to clone; all clones are the same store.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Arc<Backend>,
}

/// Tells two states of an object from each other without reading it. Compare it with stamps of the same store only.
pub type ChangeToken = i128;

/// An object as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key and size.
    pub meta: ObjectMeta,
    /// Changes when its content does.
    pub change_token: ChangeToken,
}

/// An object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectDigest {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// As a listing has it.
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
    /// An empty store that is gone with its last clone.
    pub fn memory() -> Self {
        Self::from_object_store(Arc::new(object_store::memory::InMemory::new()))
    }

    /// The store at `location`: a folder, or `s3://bucket/prefix`. For S3, credentials, region and server come from the usual AWS variables;
    /// nothing is asked of the server yet.
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

    /// A folder, made if it is missing. Files that others drop there are objects too.
    pub fn local(root: &Path) -> Result<Self> {
        Ok(Self {
            backend: Arc::new(Backend::Local(Local::open(root)?)),
        })
    }

    /// Any backend with create-only and conditional writes, a reliable order of listings, and entity tags or versions.
    pub fn from_object_store(store: Arc<dyn object_store::ObjectStore>) -> Self {
        Self {
            backend: Arc::new(Backend::Remote(Remote::new(store))),
        }
    }

    /// An object's bytes; `NotFound` if it is not there.
    pub async fn get(&self, key: &str) -> Result<Bytes> {
        key::validate(key)?;
        match &*self.backend {
            Backend::Remote(remote) => remote.get(key).await,
            Backend::Local(local) if local.head(key)?.is_none_or(|meta| meta.size <= MAX_INLINE_READ) => local.get(key).map(Bytes::from),
            Backend::Local(_) => {
                let key = key.to_owned();
                local!(self, |local| local.get(&key).map(Bytes::from))
            }
        }
    }

    /// `length` bytes from `offset`; fewer at the object's end, none behind it.
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

    /// An object's size, or `None` if it is not there.
    pub async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        key::validate(key)?;
        match &*self.backend {
            Backend::Remote(remote) => remote.head(key).await,
            Backend::Local(local) => local.head(key),
        }
    }

    /// Writes where nothing is. Of many at once, exactly one is [`Put::Written`].
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

    /// Replaces exactly the bytes whose SHA-256 is `expected`; `None` = nothing may be there.
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

    /// Writes whatever is there: only for what is neither hashed nor decided upon, such as how a run went.
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

    /// Up to `limit` keys under `prefix`, ascending by their bytes, greater than `after`. A prefix means whole segments.
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

    /// All keys under `prefix`, ascending by their bytes.
    pub async fn list_all(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        self.list(prefix, None, usize::MAX).await
    }

    /// All objects under `prefix`, ascending by key, each with its stamp.
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

    /// What an object is, read piece by piece: it may be larger than memory. `NotFound` if it is not there.
    pub async fn digest(&self, key: &str) -> Result<ObjectDigest> {
        key::validate(key)?;
        match &*self.backend {
            Backend::Remote(remote) => remote.copy_to(key, &mut std::io::sink()).await,
            Backend::Local(_) => {
                // Looked at before it is read: a change in between is seen the next time.
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

    /// The stamp of an object that is a file: its time in Unix nanoseconds. 0 where it is none.
    pub fn file_change_token(&self, key: &str) -> ChangeToken {
        let modified = || std::fs::metadata(self.local_root()?.join(key)).ok()?.modified().ok();
        let since = modified().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        since.map_or(0, |time| i128::try_from(time.as_nanos()).unwrap_or(0))
    }

    /// Removes an object; it is no error if it is not there.
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

    /// The folder, where the objects are files.
    pub fn local_root(&self) -> Option<&Path> {
        match &*self.backend {
            Backend::Local(local) => Some(local.root()),
            Backend::Remote(_) => None,
        }
    }

    /// The bucket, where the store is one.
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
