//! What `predict` needs from where it runs: objects, ONNX models, the prediction log, a clock and ids.

use std::sync::Arc;

use tidemill_core::{Digest, Error, Result};
use tidemill_nn::Graph;
use tidemill_predictions::Record;

/// Implemented over a component's imports, and natively.
#[allow(async_fn_in_trait, reason = "a component has one thread: futures need not be Send")]
pub trait PredictHost {
    /// An object's bytes; `NotFound` if it does not exist, `Transient` if the store does not answer.
    async fn get_object(&self, key: &str) -> Result<Vec<u8>>;
    /// Up to 1000 keys under `prefix` after `after`, ascending.
    async fn list_keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>>;
    /// The graph of a model; `onnx` is its key, `digest` its SHA-256.
    async fn load_graph(&self, onnx: &str, digest: &Digest) -> Result<Arc<dyn Graph>>;
    /// Appends to the prediction log: returns when the rows are stored, or hands them to a host that holds the response back until they are.
    async fn append(&self, record: Record) -> Result<()>;
    /// Microseconds of a monotonic clock.
    fn now_us(&self) -> u64;
    /// An id that no other request has.
    fn unique_id(&self) -> String;
}

/// Rejects bytes that are not the registered model.
///
/// # Errors
/// `Bug` if the digest is another.
pub fn check_registered(onnx: &str, bytes: &[u8], digest: &Digest) -> Result<()> {
    if Digest::sha256(bytes) == *digest {
        return Ok(());
    }
    Err(Error::bug(format!(
        "`{onnx}` is not the model that was registered: its digest is not {digest}"
    )))
}
