//! ONNX models: bytes in, a graph out, named tensors through it. A graph is shared by all threads; loading is what costs,
//! so take graphs from [`Graphs`], which loads each content once. Builds for wasm: a component may carry it.

mod metadata;
mod native;
mod tensor;
mod tract;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use tidemill_core::{Digest, Result};

pub use metadata::{ModelMetadata, TensorInfo};
pub use native::NativeFirst;
pub use tensor::{ElementType, Tensor, arrange};
pub use tract::Tract;

/// What runs ONNX.
pub trait Backend: Send + Sync {
    /// Reads a model; `model` names it in messages. `Input` if the bytes are no model that this engine can run.
    fn load(&self, model: &str, bytes: &[u8]) -> Result<Arc<dyn Graph>>;
}

/// A loaded model.
pub trait Graph: Send + Sync {
    /// Names of its inputs, in the model's order.
    fn inputs(&self) -> &[String];
    /// Names of its outputs, in the model's order.
    fn outputs(&self) -> &[String];
    /// All outputs for these inputs, which must be exactly the graph's; `Input` if they are not or do not fit.
    fn compute(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>>;
}

type Slot = Arc<OnceLock<Result<Arc<dyn Graph>>>>;

/// Graphs by the SHA-256 of their bytes. Append-only: a digest always means the same graph.
pub struct GraphCache {
    backend: Arc<dyn Backend>,
    slots: Mutex<HashMap<Digest, Slot>>,
}

impl GraphCache {
    /// An empty map over an engine.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            slots: Mutex::default(),
        }
    }

    /// The graph with this digest, if it was loaded.
    pub fn get(&self, digest: &Digest) -> Option<Arc<dyn Graph>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(digest)?.get()?.as_ref().ok().cloned()
    }

    /// The graph of these bytes, loaded once however many ask at the same time. Bytes that are no model stay refused.
    pub fn load(&self, model: &str, bytes: &[u8]) -> Result<(Digest, Arc<dyn Graph>)> {
        let digest = Digest::sha256(bytes);
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(digest.clone()).or_default().clone()
        };
        let graph = slot.get_or_init(|| self.backend.load(model, bytes)).clone()?;
        Ok((digest, graph))
    }
}

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;

    #[test]
    fn foreign_bytes_name_the_model() {
        let graphs = GraphCache::new(Arc::new(Tract));
        for bytes in [&b"not a model"[..], &[], &[0xff; 64]] {
            let Err(error) = graphs.load("candidates/late/1/model.onnx", bytes) else {
                panic!("loaded {bytes:?}")
            };
            assert_eq!(error.kind, ErrorKind::Input);
            assert!(error.message.contains("`candidates/late/1/model.onnx`"), "{error}");
        }
    }

    #[test]
    fn one_content_is_one_graph() {
        let graphs = GraphCache::new(Arc::new(Tract));
        let bytes = tract::tests::doubling();
        let (digest, one) = graphs.load("a", &bytes).unwrap();
        let (_, two) = graphs.load("b", &bytes).unwrap();
        assert!(Arc::ptr_eq(&one, &two) && graphs.get(&digest).is_some());
    }
}
