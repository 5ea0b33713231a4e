//! The wasmtime engine of served components, and their imports.

use tidemill_core::{Error, Result};
use wasmtime::{
    Config, Engine,
    component::{Component, Linker},
};
use wasmtime_wasi_http::{handler::ProxyPre, p3::bindings::ServicePre};

use super::{imports, state::InstanceState};
use crate::epoch;

/// An engine for components that serve HTTP: concurrent, interrupted by epochs.
///
/// # Errors
/// `Bug` if wasmtime does not run on this machine.
pub fn new_engine() -> Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true);
    let engine = Engine::new(&config).map_err(|e| Error::bug(format!("wasmtime does not start on this machine: {e:#}")))?;
    epoch::register(&engine);
    Ok(engine)
}

/// Links everything that a served component may import.
pub(super) fn link(engine: &Engine, component: &Component) -> Result<ProxyPre<InstanceState>> {
    let mut linker = Linker::new(engine);
    let linked = wasmtime_wasi::p2::add_to_linker_async(&mut linker)
        .and_then(|()| wasmtime_wasi::p3::add_to_linker(&mut linker))
        .and_then(|()| wasmtime_wasi_http::p3::add_to_linker(&mut linker))
        .and_then(|()| wasmtime_wasi_nn::wit::add_to_linker(&mut linker, InstanceState::nn))
        .and_then(|()| imports::add_to_linker(&mut linker));
    linked.map_err(|e| Error::bug(format!("the serving world cannot be linked: {e:#}")))?;
    let pre = linker
        .instantiate_pre(component)
        .map_err(|e| Error::input(format!("the serving component imports what is not offered: {e:#}")))?;
    let pre = ServicePre::new(pre)
        .map_err(|e| Error::input(format!("the serving component does not export `wasi:http/handler@0.3.0`: {e:#}")))?;
    Ok(ProxyPre::P3(pre))
}
