//! Serves predictions over HTTP, Open Inference Protocol V2: one named tensor per column of the model's signature.
//!
//! A request is parsed ([`protocol`]) and checked ([`columns`]), its model is loaded ([`models`]), and its rows are transformed, scored and
//! logged ([`infer`]), over a [`PredictHost`]: a component's imports or, natively, a store, as on Lambda. A response is sent only when its
//! predictions are in the log.

pub mod columns;
pub mod infer;
pub mod models;
pub mod protocol;
pub mod router;

#[cfg(target_family = "wasm")]
mod bindings;
#[cfg(target_family = "wasm")]
mod component;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tidemill_core::{Digest, Result};
use tidemill_nn::Graph;
use tidemill_predictions::Record;

pub use models::Server;
pub use router::{MAX_BODY_BYTES, allowed_method, error_response, explaining_header, handle};

/// The environment of `predict`: objects, ONNX models, the prediction log, a clock and ids. Implemented over a component's imports, and
/// natively.
#[allow(async_fn_in_trait, reason = "a component has one thread: futures need not be Send")]
pub trait PredictHost {
    /// Returns an object's bytes; `NotFound` if it does not exist, `Transient` if the store does not answer.
    async fn get_object(&self, key: &str) -> Result<Vec<u8>>;
    /// Lists up to 1000 keys under `prefix` after `after`, ascending.
    async fn list_keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>>;
    /// Loads the graph of a model; `onnx` is its key, `digest` its SHA-256.
    async fn load_graph(&self, onnx: &str, digest: &Digest) -> Result<Arc<dyn Graph>>;
    /// Appends to the prediction log. Returns when the rows are stored, or passes them to a host that holds the response back until they
    /// are.
    async fn append(&self, record: Record) -> Result<()>;
    /// Returns the microseconds of a monotonic clock.
    fn now_us(&self) -> u64;
    /// Returns an id that no other request has.
    fn unique_id(&self) -> String;
}
