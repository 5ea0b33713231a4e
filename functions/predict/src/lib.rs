//! Serves predictions over HTTP, Open Inference Protocol V2: one named tensor for each column of the model's signature.
//!
//! A request is parsed ([`protocol`]) and checked ([`columns`]), its model loaded ([`models`]), its rows transformed, scored and logged
//! ([`infer`]), over a [`host`]: a component's imports, or natively a store, as on Lambda. A response is sent only when its predictions are
//! in the log.

pub mod columns;
pub mod host;
pub mod infer;
pub mod loaded;
pub mod models;
pub mod protocol;
pub mod router;
pub mod tensor_data;

#[cfg(target_family = "wasm")]
mod bindings;
#[cfg(target_family = "wasm")]
mod component;

#[cfg(test)]
mod tests;

pub use router::{MAX_BODY_BYTES, allowed_method, error_response, handle};
