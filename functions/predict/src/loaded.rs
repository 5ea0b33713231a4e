//! Models that are ready to serve, and the cache of them. The cache drops the version that was used least recently, so that a server whose
//! models are retrained every day does not grow.

use std::{cell::RefCell, num::NonZeroUsize, rc::Rc};

use lru::LruCache;
use tidemill_core::record::ModelVersion;
use tidemill_scoring::Scorer;

/// Versions that a cache holds.
const MAX_VERSIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(31);

/// A version that is ready to serve.
#[derive(Debug)]
pub struct LoadedModel {
    /// The version's record.
    pub version: ModelVersion,
    /// Its transform and its model.
    pub scorer: Scorer,
}

/// Loaded versions by model and number.
#[derive(Debug)]
pub struct ModelCache(RefCell<LruCache<(String, u32), Rc<LoadedModel>>>);

impl Default for ModelCache {
    fn default() -> Self {
        Self(RefCell::new(LruCache::new(MAX_VERSIONS)))
    }
}

impl ModelCache {
    /// A version that was loaded before.
    pub fn get(&self, model: &str, number: u32) -> Option<Rc<LoadedModel>> {
        self.0.borrow_mut().get(&(model.to_owned(), number)).cloned()
    }

    /// Adds a version.
    pub fn insert(&self, model: &str, number: u32, loaded: Rc<LoadedModel>) {
        self.0.borrow_mut().put((model.to_owned(), number), loaded);
    }
}

/// What answers requests: a host, and the models that were loaded through it.
#[derive(Debug)]
pub struct Server<H> {
    /// Where it runs.
    pub host: H,
    /// Lives as long as the process or the instance.
    pub cache: ModelCache,
}

impl<H> Server<H> {
    /// A server without loaded models.
    pub fn new(host: H) -> Self {
        Self {
            host,
            cache: ModelCache::default(),
        }
    }
}
