//! Runs stages and HTTP components on wasmtime.
//!
//! Start with [`Engine`]: it compiles a stage once; a [`StageComponent`] then makes one fresh instance for each run.

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/stage",
        world: "stage",
        with: { "tidemill:stage/sql.reader": crate::imports::Reader },
    });
}
mod cache;
mod component;
mod convert;
mod engine;
mod error;
mod expiration;
mod http_server;
mod imports;
pub mod serve;
pub mod spin;
mod state;
mod wasi;

pub use component::{Limits, StageComponent, Usage};
pub use engine::{Engine, EngineOptions};
pub use http_server::ServerHandle;
pub use imports::StageHost;
