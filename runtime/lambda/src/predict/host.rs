//! `predict` over the host itself, without a component around it: objects from a store, ONNX by the native engines, and a log
//! whose rows are objects before the answer is sent.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tidemill_core::{Error, Result};
use tidemill_host::{
    Store,
    nn::{Backend, Graph, GraphCache, Tensor},
};
use tidemill_predict::{
    host::{PredictHost, check_registered, decode_f32, take_scores},
    models::ModelCache,
};
use tidemill_predictions::{DirectLog, Record};

/// Keys in one answer of [`PredictHost::list_keys`].
const PAGE: usize = 1000;

/// One thread's environment: what it has loaded stays.
pub struct NativeHost {
    store: Store,
    log: DirectLog,
    graphs: GraphCache,
    /// By model digest; append-only.
    prepared: RefCell<HashMap<String, Arc<dyn Graph>>>,
    cache: ModelCache,
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
            prepared: RefCell::default(),
            cache: ModelCache::default(),
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
        let page = self.store.list(prefix, after, PAGE).await?;
        Ok(page.into_iter().map(|meta| meta.key).collect())
    }

    async fn load_graph(&self, onnx: &str, digest: &str) -> Result<()> {
        if self.prepared.borrow().contains_key(digest) {
            return Ok(());
        }
        let bytes = self.get_object(onnx).await?;
        check_registered(onnx, &bytes, digest)?;
        let (_, graph) = self.graphs.load(onnx, &bytes).map_err(|e| broken(onnx, &e))?;
        self.prepared.borrow_mut().insert(digest.to_owned(), graph);
        Ok(())
    }

    fn score(&self, digest: &str, rows: usize, features: Vec<f32>) -> Result<Vec<f32>> {
        let prepared = self.prepared.borrow();
        let graph = prepared
            .get(digest)
            .ok_or_else(|| Error::bug(format!("the model {digest} was not prepared")))?;
        let width = features.len().checked_div(rows).unwrap_or(0);
        let input = Tensor::from_f32(vec![rows, width], &features).map_err(|e| broken(digest, &e))?;
        let outputs = graph
            .compute(vec![("features".to_owned(), input)])
            .map_err(|e| broken(digest, &e))?;
        let scores = take_scores(digest, outputs)?;
        Ok(decode_f32(&scores.data))
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

    fn cache(&self) -> &ModelCache {
        &self.cache
    }
}

/// A registered model that does not run is ours to mend, not the client's.
fn broken(what: &str, error: &Error) -> Error {
    Error::bug(format!("`{what}` cannot be run: {error}"))
}
