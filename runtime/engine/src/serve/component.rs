//! The HTTP component, compiled once for each content and engine, and linked.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use tidemill_core::{Digest, Error, Result};
use wasmtime::{
    Config, Engine,
    component::{Component, Linker},
};
use wasmtime_wasi_http::{handler::ProxyPre, p3::bindings::ServicePre};

use super::{imports, state::InstanceState};

/// An engine for serving.
pub(crate) fn engine() -> Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true);
    Engine::new(&config).map_err(|e| Error::bug(format!("wasmtime cannot start: {e:#}")))
}

/// Compiles, or takes from the cache what was compiled before.
pub(crate) fn compile(engine: &Engine, bytes: &[u8], cache: &Path) -> Result<Component> {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let path = cache.join(format!("serve-{}-{:016x}.cwasm", Digest::sha256(bytes), hasher.finish()));
    // SAFETY: the file is in our own cache, and its name holds the digest of its source and of the engine that compiled it.
    #[allow(unsafe_code, reason = "deserialising our own compiled component")]
    if path.is_file()
        && let Ok(component) = unsafe { Component::deserialize_file(engine, &path) }
    {
        return Ok(component);
    }
    let component = Component::new(engine, bytes).map_err(|e| Error::input(format!("the serving component is not a component: {e:#}")))?;
    if let Err(error) = keep(&component, &path) {
        tracing::warn!("the compiled component is not kept in `{}`: {error}", path.display());
    }
    Ok(component)
}

fn keep(component: &Component, path: &Path) -> std::result::Result<(), Box<dyn std::error::Error>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    std::fs::write(&partial, component.serialize()?)?;
    Ok(std::fs::rename(partial, path)?)
}

/// Links all that a serving component may import.
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
