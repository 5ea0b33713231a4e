//! `predict` over the host itself, without a component around it: objects from a store, ONNX by the native engines, and a log
//! whose rows are objects before the answer is sent.

use std::{
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tidemill_core::{Digest, Result};
use tidemill_nn::{Backend, Graph, GraphCache};
use tidemill_predict::{PredictHost, models::check_registered};
use tidemill_predictions::{DirectLog, Record};
use tidemill_store::Store;

/// Keys in one answer of [`PredictHost::list_keys`].
const PAGE_SIZE: usize = 1000;

/// The host of one thread.
pub struct NativeHost {
    store: Store,
    log: DirectLog,
    graphs: GraphCache,
    started: Instant,
    /// Random for each process.
    seed: u64,
    requests: AtomicU64,
}

impl NativeHost {
    /// Nothing is loaded yet.
    pub fn new(store: Store, log: DirectLog, nn: Arc<dyn Backend>) -> Self {
        Self {
            store,
            log,
            graphs: GraphCache::new(nn),
            started: Instant::now(),
            seed: std::hash::RandomState::new().hash_one(std::process::id()),
            requests: AtomicU64::new(0),
        }
    }
}

impl PredictHost for NativeHost {
    async fn get_object(&self, key: &str) -> Result<Vec<u8>> {
        self.store.get(key).await.map(Vec::from)
    }

    async fn list_keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>> {
        let page = self.store.list(prefix, after, PAGE_SIZE).await?;
        Ok(page.into_iter().map(|meta| meta.key).collect())
    }

    async fn load_graph(&self, onnx: &str, digest: &Digest) -> Result<Arc<dyn Graph>> {
        if let Some(found) = self.graphs.get(digest) {
            return Ok(found);
        }
        let bytes = self.get_object(onnx).await?;
        check_registered("model", onnx, &bytes, digest)?;
        Ok(self.graphs.load(onnx, &bytes)?.1)
    }

    async fn append(&self, record: Record) -> Result<()> {
        self.log.append(record).await
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn unique_id(&self) -> String {
        format!("{:016x}-{:x}", self.seed, self.requests.fetch_add(1, Ordering::Relaxed))
    }
}
