//! What `predict` needs from wherever it runs: objects, ONNX, the log, a clock and ids.

use tidemill_core::{Digest, Error, Result};
use tidemill_predictions::Record;

/// Implemented over the component's imports, and natively.
#[allow(async_fn_in_trait, reason = "a component has one thread: futures need not be Send")]
pub trait PredictHost {
    /// An object's bytes; `NotFound` if it is not there, `Transient` if the store does not answer.
    async fn get_object(&self, key: &str) -> Result<Vec<u8>>;
    /// Up to 1000 keys under `prefix` after `after`, ascending.
    async fn list_keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>>;
    /// Makes sure that the model's graph is loaded. `onnx` is its key, `digest` its SHA-256.
    async fn load_graph(&self, onnx: &str, digest: &str) -> Result<()>;
    /// `features` [rows, width] through a prepared graph: scores [rows, outputs] and how many outputs.
    fn score(&self, digest: &str, rows: usize, features: Vec<f32>) -> Result<Vec<f32>>;
    /// Appends to the prediction log: returns when the rows are stored, or hands them to a host that holds the response back until they are.
    async fn append(&self, record: Record) -> Result<()>;
    /// Microseconds of a clock that only goes forward.
    fn now_us(&self) -> u64;
    /// An id that no other request has.
    fn unique_id(&self) -> String;
    /// What was loaded before: it lives as long as the process or the instance.
    fn cache(&self) -> &crate::models::ModelCache;
}

/// Refuses a model's bytes that are not those that were registered.
pub fn check_registered(onnx: &str, bytes: &[u8], digest: &str) -> Result<()> {
    if Digest::sha256(bytes).as_str() == digest {
        return Ok(());
    }
    Err(Error::bug(format!(
        "`{onnx}` is not the model that was registered: its digest is not {digest}"
    )))
}

/// The output `scores` of a graph.
pub fn take_scores<T>(digest: &str, outputs: Vec<(String, T)>) -> Result<T> {
    let scores = outputs.into_iter().find(|(name, _)| name == "scores");
    scores
        .map(|(_, scores)| scores)
        .ok_or_else(|| Error::bug(format!("the model {digest} has no output `scores`")))
}

/// Little-endian f32.
pub fn decode_f32(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}
