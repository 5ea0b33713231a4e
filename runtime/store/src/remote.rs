//! Objects in anything that `object_store` speaks: memory, and S3 with its like.
//!
//! Compare-and-swap compares content, then writes under the condition that the object is still the one that was compared. A write
//! whose answer was lost is never taken for failed nor for done: what is there then decides.

use std::{io::Write, sync::Arc, time::Duration};

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt};
use object_store::{
    Error as RemoteError, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion, path::Path,
};
use tidemill_core::{Digest, Error, ErrorKind, Hasher, ObjectMeta, PutResult, Result};

use crate::{
    Bucket, ChangeToken, ListedObject, MAX_OBJECT_SIZE, ObjectDigest,
    error::{Endpoint, is_clock_skew, is_indeterminate, not_found, too_large},
    listing::ListingOrder,
};

/// How often a conditional write is attempted before its error is returned.
const MAX_ATTEMPTS: usize = 4;
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Conditional writes of objects that are too large for one request.
#[async_trait]
pub(super) trait ConditionalPut: std::fmt::Debug + Send + Sync {
    /// Whether an object of this length is written in this way.
    fn applies_to(&self, length: usize) -> bool;

    /// Like a put in one piece. `AlreadyExists` and `Precondition` mean that the object must be read to know what became of the write.
    async fn put(&self, path: &Path, bytes: &Bytes, mode: &PutMode) -> object_store::Result<()>;
}

/// Retries `work` up to `max_attempts` times, with delays that double.
pub(super) async fn retry<T, E, F: Future<Output = Result<T, E>>>(
    first_delay: Duration,
    max_attempts: usize,
    work: impl FnMut() -> F,
    when: impl FnMut(&E) -> bool,
) -> Result<T, E> {
    let delays = ExponentialBuilder::new()
        .with_min_delay(first_delay)
        .with_factor(2.0)
        .with_max_times(max_attempts - 1);
    work.retry(delays).sleep(crate::time::sleep).when(when).await
}

/// A write that failed.
enum WriteError {
    /// What became of it is not known, and the object is as it was before.
    Undecided(RemoteError),
    Failed(Error),
}

impl WriteError {
    fn is_undecided(&self) -> bool {
        matches!(self, Self::Undecided(_))
    }
}

/// A backend that has conditional writes: create-only, and replace where the version is known.
#[derive(Debug)]
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    endpoint: Endpoint,
    /// Before each key in the backend: empty, or ending in `/`.
    prefix: String,
    order: ListingOrder,
    multipart: Option<Box<dyn ConditionalPut>>,
}

impl Remote {
    /// A whole backend.
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        let server = store.to_string();
        let endpoint = Endpoint { bucket: None, server };
        Self {
            store,
            endpoint,
            prefix: String::new(),
            order: ListingOrder::Bytes,
            multipart: None,
        }
    }

    /// A bucket, or what lies under a prefix of it, on `server`. Without `multipart`, every object is written in one piece.
    pub(super) fn bucket(
        store: Arc<dyn ObjectStore>,
        bucket: Bucket,
        server: String,
        order: ListingOrder,
        multipart: Option<Box<dyn ConditionalPut>>,
    ) -> Self {
        Self {
            store,
            prefix: bucket.prefix.clone(),
            endpoint: Endpoint {
                bucket: Some(bucket),
                server,
            },
            order,
            multipart,
        }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) async fn get(&self, key: &str, limit: u64) -> Result<Bytes> {
        let open = self.sign_again(|| async { self.store.get(&self.path(key)?).await });
        let found = open.await.map_err(|e| self.map_error("read", key, e))?;
        if found.meta.size > limit {
            return Err(too_large(key, found.meta.size, limit));
        }
        found.bytes().await.map_err(|e| self.map_error("read", key, e))
    }

    /// The server cuts the range at the object's end. Beyond the end it answers with an error, and HEAD tells this from another.
    pub(super) async fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes> {
        if length == 0 {
            return self.size(key).await.map(|_| Bytes::new());
        }
        let range = match offset.checked_add(length).filter(|end| i64::try_from(*end).is_ok()) {
            Some(end) => GetRange::Bounded(offset..end),
            None => GetRange::Offset(offset),
        };
        let options = GetOptions {
            range: Some(range),
            ..GetOptions::default()
        };
        let read = self.sign_again(|| async { self.store.get_opts(&self.path(key)?, options.clone()).await?.bytes().await });
        let error = match read.await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        if matches!(error, RemoteError::Generic { .. }) && offset >= self.size(key).await? {
            return Ok(Bytes::new());
        }
        Err(self.map_error("read", key, error))
    }

    async fn size(&self, key: &str) -> Result<u64> {
        Ok(self.head(key).await?.ok_or_else(|| not_found(key))?.size)
    }

    /// Copies an object to `to`, piece by piece.
    pub(super) async fn copy_to(&self, key: &str, to: &mut (impl Write + Send)) -> Result<ObjectDigest> {
        let open = self.sign_again(|| async { self.store.get(&self.path(key)?).await });
        let found = open.await.map_err(|e| self.map_error("read", key, e))?;
        let (mut hash, mut size, stamp) = (Hasher::default(), 0, change_token(&found.meta));
        let mut stream = found.into_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|e| self.map_error("read", key, e))?;
            hash.update(&chunk);
            size += chunk.len() as u64;
            to.write_all(&chunk)
                .map_err(|e| Error::transient(format!("`{key}` could not be copied to the cache: {e}")))?;
        }
        Ok(ObjectDigest {
            digest: hash.finish(),
            size,
            change_token: stamp,
        })
    }

    /// An answer to HEAD has no body, so that it does not say why: where it is no, the same is asked by GET.
    pub(super) async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        let meta = |size| Some(ObjectMeta { key: key.to_owned(), size });
        let head = async { self.store.head(&self.path(key)?).await };
        if let Ok(found) = head.await {
            return Ok(meta(found.size));
        }
        let get = self.sign_again(|| async { self.store.get(&self.path(key)?).await });
        match get.await.map_err(|e| self.map_error("read", key, e)) {
            Ok(found) => Ok(meta(found.meta.size)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create(&self, key: &str, bytes: Bytes) -> Result<PutResult> {
        self.write(key, || self.try_create(key, &bytes)).await
    }

    async fn try_create(&self, key: &str, bytes: &Bytes) -> Result<PutResult, WriteError> {
        let error = match self.put(key, bytes, PutMode::Create).await {
            Ok(()) => return Ok(PutResult::Written),
            Err(error) => error,
        };
        if !is_undecided(&error) {
            return Err(WriteError::Failed(self.map_error("written", key, error)));
        }
        // Content that is longer than the new is other content: it is not read.
        match self.get(key, bytes.len() as u64).await {
            Ok(there) if there == bytes => Ok(PutResult::Unchanged),
            Ok(_) => Ok(PutResult::Conflict),
            Err(found) if found.kind == ErrorKind::Limit => Ok(PutResult::Conflict),
            Err(found) if found.kind == ErrorKind::NotFound => Err(WriteError::Undecided(error)),
            Err(found) => Err(WriteError::Failed(found)),
        }
    }

    pub(super) async fn swap(&self, key: &str, expected: Option<&Digest>, bytes: Bytes) -> Result<PutResult> {
        let Some(expected) = expected else {
            return self.create(key, bytes).await;
        };
        self.write(key, || self.try_swap(key, expected, &bytes)).await
    }

    async fn try_swap(&self, key: &str, expected: &Digest, bytes: &Bytes) -> Result<PutResult, WriteError> {
        let Some((there, version)) = self.get_version(key).await.map_err(WriteError::Failed)? else {
            return Ok(PutResult::Conflict);
        };
        if there == bytes {
            return Ok(PutResult::Unchanged);
        }
        if Digest::sha256(&there) != *expected {
            return Ok(PutResult::Conflict);
        }
        match self.put(key, bytes, PutMode::Update(version)).await {
            Ok(()) => Ok(PutResult::Written),
            Err(error) if is_undecided(&error) => Err(WriteError::Undecided(error)),
            Err(error) => Err(WriteError::Failed(self.map_error("written", key, error))),
        }
    }

    /// Tries conditions that must not hold, on an object with this key.
    #[cfg(not(target_family = "wasm"))]
    pub(super) async fn check_conditional_writes(&self, key: &str) -> Result<()> {
        let probed = self.probe(key).await;
        let removed = self.delete(key).await;
        if let Some(header) = probed? {
            return Err(Error::config(format!(
                "{} writes an object although its condition {header} does not hold: two programs would overwrite each other's records there; \
                 use a server that has conditional writes",
                self.endpoint.server
            )));
        }
        removed
    }

    /// The header of the first condition that is ignored.
    #[cfg(not(target_family = "wasm"))]
    async fn probe(&self, key: &str) -> Result<Option<&'static str>> {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        self.create(key, bytes("first")).await?;
        if self.create(key, bytes("second")).await? != PutResult::Conflict {
            return Ok(Some("`If-None-Match: *`"));
        }
        let Some((_, old)) = self.get_version(key).await? else {
            return Err(not_found(key));
        };
        self.replace(key, bytes("third")).await?;
        match self.put(key, &bytes("fourth"), PutMode::Update(old)).await {
            Ok(()) => Ok(Some("`If-Match`")),
            Err(RemoteError::Precondition { .. }) => Ok(None),
            Err(error) => Err(self.map_error("written", key, error)),
        }
    }

    /// Repeats a conditional write until it is known what became of it.
    async fn write<F>(&self, key: &str, attempt: impl FnMut() -> F) -> Result<PutResult>
    where
        F: Future<Output = Result<PutResult, WriteError>>,
    {
        let written = retry(FIRST_RETRY_DELAY, MAX_ATTEMPTS, attempt, WriteError::is_undecided).await;
        written.map_err(|error| match error {
            WriteError::Undecided(error) => self.map_error("written", key, error),
            WriteError::Failed(error) => error,
        })
    }

    pub(super) async fn replace(&self, key: &str, bytes: Bytes) -> Result<()> {
        let put = self.sign_again(|| async {
            let options = PutOptions::from(PutMode::Overwrite);
            self.store
                .put_opts(&self.path(key)?, PutPayload::from(bytes.clone()), options)
                .await
                .map(drop)
        });
        put.await.map_err(|e| self.map_error("written", key, e))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        let delete = self.sign_again(|| async { self.store.delete(&self.path(key)?).await });
        match delete.await {
            Ok(()) | Err(RemoteError::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.map_error("removed", key, e)),
        }
    }

    pub(super) async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ListedObject>> {
        if limit == 0 || after.is_some_and(|after| after > prefix && !after.starts_with(prefix)) {
            return Ok(Vec::new());
        }
        let read = self.sign_again(|| async {
            let under = Path::parse(format!("{}{prefix}", self.prefix))?;
            let under = Some(&under).filter(|under| !under.as_ref().is_empty());
            let stream = match after.and_then(|after| self.order.start_offset(prefix, after)) {
                Some(begin) => self.store.list_with_offset(under, &self.path(begin)?),
                None => self.store.list(under),
            };
            let listed = stream.try_filter_map(|meta| async move { Ok(self.to_listed(prefix, &meta)) });
            self.order.collect_page(listed, prefix, after, limit).await
        });
        read.await.map_err(|e| self.map_error("listed", prefix, e))
    }

    /// What stands in a listing, unless it is not an object of the store: consoles leave empty objects in the place of folders.
    fn to_listed(&self, prefix: &str, meta: &object_store::ObjectMeta) -> Option<ListedObject> {
        let key = meta.location.as_ref().strip_prefix(&self.prefix)?;
        (key.starts_with(prefix) && crate::key::validate(key).is_ok()).then(|| ListedObject {
            meta: ObjectMeta {
                key: key.to_owned(),
                size: meta.size,
            },
            change_token: change_token(meta),
        })
    }

    async fn get_version(&self, key: &str) -> Result<Option<(Bytes, UpdateVersion)>> {
        let read = self.sign_again(|| async {
            let result = self.store.get(&self.path(key)?).await?;
            let size = result.meta.size;
            if size > MAX_OBJECT_SIZE {
                return Ok(Err(too_large(key, size, MAX_OBJECT_SIZE)));
            }
            let version = UpdateVersion {
                e_tag: result.meta.e_tag.clone(),
                version: result.meta.version.clone(),
            };
            Ok(Ok((result.bytes().await?, version)))
        });
        match read.await.map_err(|e| self.map_error("read", key, e)).flatten() {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Makes a request, and once more with a new signature if its time was refused: the machine may have slept in between.
    async fn sign_again<T, F: Future<Output = object_store::Result<T>>>(&self, request: impl Fn() -> F) -> object_store::Result<T> {
        match request().await {
            Err(error) if is_clock_skew(&error) => {
                tracing::warn!("{}; the request is signed again", self.map_error("asked", "", error));
                request().await
            }
            other => other,
        }
    }

    async fn put(&self, key: &str, bytes: &Bytes, mode: PutMode) -> object_store::Result<()> {
        self.sign_again(|| self.put_once(key, bytes, mode.clone())).await
    }

    async fn put_once(&self, key: &str, bytes: &Bytes, mode: PutMode) -> object_store::Result<()> {
        let path = self.path(key)?;
        match self.multipart.as_deref().filter(|multipart| multipart.applies_to(bytes.len())) {
            Some(multipart) => multipart.put(&path, bytes, &mode).await,
            None => {
                let payload = PutPayload::from(bytes.clone());
                self.store.put_opts(&path, payload, PutOptions::from(mode)).await.map(drop)
            }
        }
    }

    /// The key as it is: `Path::from` would escape what it finds odd, and the key would come back changed.
    fn path(&self, key: &str) -> object_store::Result<Path> {
        Ok(Path::parse(format!("{}{key}", self.prefix))?)
    }

    fn map_error(&self, doing: &str, key: &str, error: RemoteError) -> Error {
        self.endpoint.to_error(doing, key, &error)
    }
}

/// From the entity tag, without its quotes; where there is none, from the time.
fn change_token(meta: &object_store::ObjectMeta) -> ChangeToken {
    let text = meta.e_tag.clone().unwrap_or_else(|| meta.last_modified.to_string());
    let digest = Digest::sha256(text.trim_matches('"').as_bytes());
    ChangeToken::from_str_radix(&digest.as_str()[..16], 16).unwrap_or(1).max(1)
}

/// Whether what is there now tells what became of a conditional write.
fn is_undecided(error: &RemoteError) -> bool {
    matches!(
        error,
        RemoteError::AlreadyExists { .. } | RemoteError::Precondition { .. } | RemoteError::NotModified { .. }
    ) || is_indeterminate(error)
}
