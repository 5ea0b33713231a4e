//! Runs stages and HTTP components on wasmtime.
//!
//! [`Engine`] compiles a stage once; its [`StageComponent`] creates a fresh instance for each run. [`serve::Server`] serves an HTTP
//! component with reused instances.

mod bindings;
mod cache;
mod component;
mod engine;
mod epoch;
mod error;
mod expiration;
mod http_server;
mod imports;
mod limits;
mod nn;
mod onnx;
pub mod serve;
mod wasi;

pub use cache::Compiler;
pub use component::StageComponent;
pub use engine::{Engine, EngineOptions};
pub use epoch::{register as register_epoch, to_ticks};
pub use expiration::Expiration;
pub use http_server::{HttpLimits, MAX_HEAD_BYTES, MAX_HEADERS, MAX_STREAMS, ServerHandle};
pub use imports::StageHost;
pub use limits::Limits;
pub use onnx::OnnxSource;
