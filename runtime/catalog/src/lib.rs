//! The read model: what the store holds, as typed queries that return serialisable structs. `tidemill runs`, `models` and `events`
//! render them; a server or a dashboard can return them as JSON.
//!
//! A [`Catalog`] reads and never writes. Changes are made through `tidemill-control`.
//!
//! ```
//! use tidemill_catalog::{Catalog, RunQuery};
//! use tidemill_store::Store;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> tidemill_core::Result<()> {
//! let catalog = Catalog::new(Store::memory());
//! let latest = RunQuery { stage: Some("train".into()), limit: Some(10), ..RunQuery::default() };
//! assert!(catalog.runs(&latest).await?.is_empty());
//! assert!(catalog.models().await?.is_empty());
//! assert_eq!(catalog.status().await?.dead_letters, 0);
//! # Ok(())
//! # }
//! ```

mod activity;
mod lineage;
mod models;
mod monitoring;
mod runs;
mod status;
#[cfg(test)]
mod tests;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::de::DeserializeOwned;
use tidemill_core::{Error, ErrorKind, Result};
use tidemill_registry::Registry;
use tidemill_run::warn_passed_over;
use tidemill_store::Store;

pub use activity::AuditQuery;
pub use lineage::{DataWindow, GateResult, Lineage, ParentRun, VersionDetail};
pub use models::{AliasMove, ModelEntry, VersionEntry};
pub use runs::{RunEntry, RunQuery};
pub use status::{DecisionCounts, Status};

/// Records that are read concurrently: a store may be far away.
const READ_CONCURRENCY: usize = 32;

/// Queries over one store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalog {
    store: Store,
}

impl Catalog {
    /// Queries over `store`. Nothing is read yet.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// A record; `None` if it is not there.
    async fn find<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        match self.store.get_record(key).await {
            Ok(bytes) => {
                let record = serde_json::from_slice(&bytes);
                record
                    .map(Some)
                    .map_err(|e| Error::input(format!("`{key}` is not what it should be: {e}")))
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Records by key, in this order; those that were removed meanwhile are left out, and what is no record is passed over.
    async fn read_all<T: DeserializeOwned>(&self, keys: Vec<String>) -> Result<Vec<T>> {
        let each = keys.into_iter().map(|key| async move {
            match self.find::<T>(&key).await {
                Err(error) if !error.kind.is_retryable() => {
                    warn_passed_over(&key, &error);
                    Ok(None)
                }
                other => other,
            }
        });
        let found: Vec<Option<T>> = stream::iter(each).buffered(READ_CONCURRENCY).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let listed = self.store.list(prefix, None, usize::MAX).await?;
        Ok(listed.into_iter().map(|meta| meta.key).collect())
    }

    /// Runs registry queries on a thread that may block.
    async fn with_registry<T: Send + 'static>(
        &self,
        model: &str,
        query: impl FnOnce(Registry<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (objects, model) = (self.store.blocking(), model.to_owned());
        let task = tokio::task::spawn_blocking(move || query(Registry::new(&objects, &model)));
        task.await
            .unwrap_or_else(|error| Err(Error::bug(format!("a registry query panicked: {error}"))))
    }
}
