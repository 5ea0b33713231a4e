//! Serves predictions over HTTP, Open Inference Protocol V2: one named tensor a column of the model's signature.
//!
//! A request is parsed ([`protocol`]) and checked ([`rows`]), its model found ([`models`]), its rows transformed, scored and logged
//! ([`infer`]), over a [`host`]: a component's imports, or natively the store, as on Lambda. An answer is
//! sent only when its predictions are in the log.

pub mod columns;
pub mod host;
pub mod infer;
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
