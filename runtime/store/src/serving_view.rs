//! The part of a store that a serving component may read, and how fresh it is: the same rule on every host.

use bytes::Bytes;
use tidemill_core::{Error, ErrorKind};

use crate::{FreshnessCache, Store};

/// Keys in one listing at most.
const MAX_PAGE: usize = 1000;

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

    /// An object's bytes. An alias may be as old as [`FreshnessCache`] allows; all else never changes and is read.
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

#[cfg(test)]
mod tests {
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
}
