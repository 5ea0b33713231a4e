//! ONNX models: bytes in, a [`Graph`] out, named tensors through it.
//!
//! [`NativeFirst`] evaluates the files of our own trainer directly, and hands every other file to the [`Backend`] behind it: tract (feature
//! `tract`), ONNX Runtime where its library is found (feature `onnxruntime`), or `wasi:nn` from inside a component (feature `wasi`). All
//! threads share a graph. Loading is the expensive part, so get graphs from a [`GraphCache`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use tidemill_core::{Error, Result};
//! use tidemill_nn::{Backend, ElementType, Graph, GraphCache, Tensor};
//!
//! /// An engine whose models return what they are given.
//! struct Echo;
//!
//! impl Backend for Echo {
//!     fn load(&self, model: &str, bytes: &[u8]) -> Result<Arc<dyn Graph>> {
//!         match bytes {
//!             b"echo" => Ok(Arc::new(Echo)),
//!             _ => Err(Error::input(format!("`{model}` is not a model"))),
//!         }
//!     }
//! }
//!
//! impl Graph for Echo {
//!     fn compute(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>> {
//!         Ok(inputs)
//!     }
//! }
//!
//! # fn main() -> Result<()> {
//! let graphs = GraphCache::new(Arc::new(Echo));
//! let (digest, graph) = graphs.load("a.onnx", b"echo")?;
//! let features = Tensor::from_f32(vec![1, 2], &[0.5, 2.0])?;
//! let outputs = graph.compute(vec![("features".into(), features)])?;
//! assert_eq!(outputs[0].1.to_f64()?, [0.5, 2.0]);
//! // The digest finds the graph again, without the bytes.
//! assert!(graphs.get(&digest).is_some());
//! assert!(graphs.load("b.onnx", b"other").is_err());
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "onnxruntime")]
mod choice;
#[cfg(feature = "tract")]
mod metadata;
mod native;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod tensor;
#[cfg(feature = "tract")]
mod tract;
#[cfg(all(feature = "wasi", target_family = "wasm"))]
mod wasi;

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use lru::LruCache;
use tidemill_core::{Digest, Result};

#[cfg(feature = "onnxruntime")]
pub use choice::{BackendChoice, open_backend};
#[cfg(feature = "tract")]
pub use metadata::{ModelMetadata, TensorInfo};
pub use native::NativeFirst;
#[cfg(feature = "onnxruntime")]
pub use onnxruntime::{OnnxRuntime, find_onnxruntime};
pub use tensor::{ElementType, Tensor, arrange};
#[cfg(feature = "tract")]
pub use tract::Tract;
#[cfg(all(feature = "wasi", target_family = "wasm"))]
pub use wasi::WasiNn;

/// An engine that runs ONNX models.
pub trait Backend: Send + Sync {
    /// Loads a model; `model` names it in messages.
    ///
    /// # Errors
    /// `Input` if the bytes are not a model that this engine can run.
    fn load(&self, model: &str, bytes: &[u8]) -> Result<Arc<dyn Graph>>;
}

/// A loaded model.
pub trait Graph: Send + Sync {
    /// All outputs for these inputs.
    ///
    /// # Errors
    /// `Input` if the inputs are not exactly those of the model, or do not fit it.
    fn compute(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>>;
}

/// Graphs that a cache holds on to; one that is dropped lives on where it is in use.
const MAX_GRAPHS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

type Slot = Arc<OnceLock<Result<Arc<dyn Graph>>>>;

/// Graphs by the SHA-256 of their bytes: the 64 that were used last. A digest always means the same graph.
pub struct GraphCache {
    backend: Arc<dyn Backend>,
    slots: Mutex<LruCache<Digest, Slot>>,
}

impl GraphCache {
    /// An empty cache over an engine.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            slots: Mutex::new(LruCache::new(MAX_GRAPHS)),
        }
    }

    /// The graph with this digest, if it is loaded.
    pub fn get(&self, digest: &Digest) -> Option<Arc<dyn Graph>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(digest)?.get()?.as_ref().ok().cloned()
    }

    /// The graph of these bytes, loaded once for all callers. Bytes that are not a model stay rejected.
    ///
    /// # Errors
    /// Those of [`Backend::load`].
    pub fn load(&self, model: &str, bytes: &[u8]) -> Result<(Digest, Arc<dyn Graph>)> {
        let digest = Digest::sha256(bytes);
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.get_or_insert(digest.clone(), Slot::default).clone()
        };
        let graph = slot.get_or_init(|| self.backend.load(model, bytes)).clone()?;
        Ok((digest, graph))
    }
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;

    #[test]
    fn bytes_that_are_no_model_are_named() {
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

    #[test]
    fn what_was_used_least_recently_is_dropped() {
        let graphs = GraphCache::new(Arc::new(Tract));
        let bytes = tract::tests::doubling();
        let (first, kept) = graphs.load("first", &bytes).unwrap();
        for number in 0..MAX_GRAPHS.get() {
            let _rejected = graphs.load("other", &number.to_le_bytes());
        }
        assert!(graphs.get(&first).is_none());
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
