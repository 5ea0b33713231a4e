//! Objects in anything that `object_store` speaks: memory now; S3 and its like by one more constructor.
//!
//! Compare-and-swap compares content, then writes under the condition that the object is still the one that was compared.

use std::{io::Write, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{
    Error as Remoted, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion, path::Path,
};
use tidemill_core::{Digest, Error, Meta, Put, Result};

/// A backend that has conditional writes: create-only, and replace where the version is known.
#[derive(Debug)]
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
}

impl Remote {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Bytes> {
        let read = async { self.store.get(&path(key)?).await?.bytes().await };
        read.await.map_err(|e| failed("read", key, e))
    }

    pub(super) async fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes> {
        let size = self.head(key).await?.ok_or_else(|| missing(key))?.size;
        let end = offset.saturating_add(length).min(size);
        if offset >= end {
            return Ok(Bytes::new());
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(offset..end)),
            ..GetOptions::default()
        };
        let read = async { self.store.get_opts(&path(key)?, options).await?.bytes().await };
        read.await.map_err(|e| failed("read", key, e))
    }

    /// Copies an object into `file` and returns its digest.
    pub(super) async fn download(&self, key: &str, file: &mut std::fs::File) -> Result<Digest> {
        use sha2::{Digest as _, Sha256};
        let open = async { Ok(self.store.get(&path(key)?).await?.into_stream()) };
        let mut stream = open.await.map_err(|e| failed("read", key, e))?;
        let mut hash = Sha256::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|e| failed("read", key, e))?;
            hash.update(&chunk);
            file.write_all(&chunk)
                .map_err(|e| Error::transient(format!("`{key}` could not be copied to the cache: {e}")))?;
        }
        let text = hash.finalize().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Digest::parse(&text).ok_or_else(|| Error::bug("a SHA-256 is not one"))
    }

    pub(super) async fn head(&self, key: &str) -> Result<Option<Meta>> {
        let head = async { self.store.head(&path(key)?).await };
        match head.await {
            Ok(meta) => Ok(Some(Meta {
                key: key.to_owned(),
                size: meta.size,
            })),
            Err(Remoted::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed("read", key, e)),
        }
    }

    pub(super) async fn create(&self, key: &str, bytes: Bytes) -> Result<Put> {
        match self.put(key, bytes.clone(), PutMode::Create).await {
            Ok(()) => Ok(Put::Written),
            Err(Remoted::AlreadyExists { .. }) => Ok(if self.get(key).await? == bytes {
                Put::Unchanged
            } else {
                Put::Conflict
            }),
            Err(e) => Err(failed("written", key, e)),
        }
    }

    pub(super) async fn swap(&self, key: &str, expected: Option<&Digest>, bytes: Bytes) -> Result<Put> {
        let Some(expected) = expected else {
            return self.create(key, bytes).await;
        };
        let Some((there, version)) = self.get_version(key).await? else {
            return Ok(Put::Conflict);
        };
        if there == bytes {
            return Ok(Put::Unchanged);
        }
        if Digest::of(&there) != *expected {
            return Ok(Put::Conflict);
        }
        match self.put(key, bytes, PutMode::Update(version)).await {
            Ok(()) => Ok(Put::Written),
            Err(Remoted::Precondition { .. } | Remoted::NotFound { .. }) => Ok(Put::Conflict),
            Err(e) => Err(failed("written", key, e)),
        }
    }

    pub(super) async fn replace(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.put(key, bytes, PutMode::Overwrite)
            .await
            .map_err(|e| failed("written", key, e))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        let delete = async { self.store.delete(&path(key)?).await };
        match delete.await {
            Ok(()) | Err(Remoted::NotFound { .. }) => Ok(()),
            Err(e) => Err(failed("removed", key, e)),
        }
    }

    pub(super) async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Meta>> {
        let read = async {
            let under = if prefix.is_empty() {
                None
            } else {
                Some(path(prefix.trim_end_matches('/'))?)
            };
            let stream = match after {
                Some(after) => self.store.list_with_offset(under.as_ref(), &path(after)?),
                None => self.store.list(under.as_ref()),
            };
            stream.take(limit).try_collect::<Vec<_>>().await
        };
        let mut found: Vec<Meta> = read
            .await
            .map_err(|e| failed("listed", prefix, e))?
            .into_iter()
            .map(|meta| Meta {
                key: meta.location.to_string(),
                size: meta.size,
            })
            .collect();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    async fn get_version(&self, key: &str) -> Result<Option<(Bytes, UpdateVersion)>> {
        let read = async {
            let result = self.store.get(&path(key)?).await?;
            let version = UpdateVersion {
                e_tag: result.meta.e_tag.clone(),
                version: result.meta.version.clone(),
            };
            Ok((result.bytes().await?, version))
        };
        match read.await {
            Ok(found) => Ok(Some(found)),
            Err(Remoted::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed("read", key, e)),
        }
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> object_store::Result<()> {
        let options = PutOptions::from(mode);
        self.store.put_opts(&path(key)?, PutPayload::from(bytes), options).await.map(drop)
    }
}

/// The key as it is: `Path::from` would escape what it finds odd, and the key would come back changed.
fn path(key: &str) -> object_store::Result<Path> {
    Ok(Path::parse(key)?)
}

fn missing(key: &str) -> Error {
    Error::not_found(format!("`{key}` is not in the store"))
}

fn failed(doing: &str, key: &str, error: Remoted) -> Error {
    match error {
        Remoted::NotFound { .. } => missing(key),
        Remoted::InvalidPath { source } => Error::input(format!("`{key}` cannot be the key of an object: {source}")),
        Remoted::PermissionDenied { source, .. } => Error::limit(format!(
            "`{key}` could not be {doing}: the store refused it ({source}); give the credentials in use that right"
        )),
        Remoted::Unauthenticated { source, .. } => Error::config(format!(
            "`{key}` could not be {doing}: the store does not accept the credentials in use ({source})"
        )),
        Remoted::NotSupported { source } | Remoted::Generic { source, .. } => {
            Error::transient(format!("`{key}` could not be {doing}: {source}"))
        }
        other => Error::transient(format!("`{key}` could not be {doing}: {other}")),
    }
}
