//! A host that is compatible with Spin, as far as our components ask for it: WASI 0.2 and 0.3, wasi:http in and out, Spin's variables and
//! key-value stores (2.0.0), and no import of ours. It runs what `tidemill deploy spin` writes on a machine that has no Spin.
//!
//! A component reaches no host but those of its `allowed_outbound_hosts`, sees no variable but its own, and no file at all. Instances
//! are reused as Spin reuses them: several requests at once, for a while.

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/spin",
        world: "fermyon:spin/host",
        with: { "fermyon:spin/key-value.store": crate::spin::stores::Opened },
    });
}
mod chain;
mod front;
mod imports;
mod instances;
mod manifest;
mod outbound;
mod route;
mod state;
mod stores;
mod template;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tidemill_core::{Error, Result};
use tokio::net::TcpListener;
use wasmtime_wasi_http::handler::ProxyHandler;

use crate::http_server::ServerHandle;

pub use manifest::Manifest;

/// What to run, and where.
pub struct SpinOptions {
    /// The manifest, `spin.toml`; sources are beside it.
    pub manifest: PathBuf,
    /// The application's variables, by name; what is not here has its default.
    pub variables: BTreeMap<String, String>,
    /// Compiled components are kept here.
    pub cache_dir: PathBuf,
    /// Where to answer.
    pub listener: TcpListener,
    /// From a request's arrival to its answer.
    pub timeout: Duration,
    /// Linear memory of one instance.
    pub memory_bytes: usize,
}

/// Compiles an application's components and begins to answer.
///
/// # Errors
/// `Config` if the manifest asks for what is not offered here, a variable has no value, or a component imports what Spin does not offer.
pub async fn start(options: SpinOptions) -> Result<ServerHandle> {
    let manifest = Manifest::read(&options.manifest)?;
    let routes = route::Routes::new(&manifest)?;
    let values = manifest.values(&options.variables)?;
    let engine = crate::serve::component::engine()?;
    let client = outbound::client()?;
    let (stores, chain) = (stores::Stores::default(), chain::Chain::default());
    let mut handlers = BTreeMap::new();
    for (name, component) in &manifest.component {
        let given = state::Given::new(name, component, &values, client.clone(), chain.clone(), stores.clone())?;
        let (compiling, cache, source) = (engine.clone(), options.cache_dir.clone(), component.path(name, &options.manifest)?);
        let compiled = tokio::task::spawn_blocking(move || {
            let bytes = std::fs::read(&source).map_err(|e| Error::config(format!("`{}` cannot be read: {e}", source.display())))?;
            instances::link(&compiling, &crate::serve::component::compile(&compiling, &bytes, &cache)?)
        });
        let pre = compiled
            .await
            .map_err(|e| Error::bug(format!("compiling a component failed: {e}")))?
            .map_err(|e| Error::new(e.kind, format!("the component `{name}`: {}", e.message)))?;
        let instances = instances::Instances {
            engine: engine.clone(),
            pre,
            given: Arc::new(given),
            timeout: options.timeout,
            memory_bytes: options.memory_bytes,
        };
        handlers.insert(name.clone(), ProxyHandler::new(instances));
    }
    let front = Arc::new(front::Front { routes, handlers });
    chain.close(&front);
    ServerHandle::start(options.listener, engine, move |request| {
        let front = front.clone();
        async move { front.answer(request).await }
    })
}
