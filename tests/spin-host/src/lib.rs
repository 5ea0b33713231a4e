//! A host compatible with Spin, to the extent that our components need it: WASI 0.2 and 0.3, wasi:http in and out, Spin's variables and
//! key-value stores (2.0.0), and no import of ours. Tests run with it what `tidemill deploy spin` writes, on machines without Spin.
//!
//! A component reaches the hosts of its `allowed_outbound_hosts` only, and has its own variables and no files. Instances are reused as Spin
//! reuses them: several concurrent requests, for a limited time.

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../runtime/wit/spin",
        world: "fermyon:spin/host",
        with: { "fermyon:spin/key-value.store": crate::stores::Opened },
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

use tidemill_core::{Digest, Error, Result};
use tidemill_engine::{Compiler, HttpLimits, ServerHandle, serve::new_engine};
use tokio::net::TcpListener;
use wasmtime_wasi_http::handler::ProxyHandler;

pub use manifest::Manifest;

/// Options of an application.
pub struct SpinOptions {
    /// The manifest, `spin.toml`; sources are beside it.
    pub manifest: PathBuf,
    /// The application's variables, by name; a variable that is not here has its default.
    pub variables: BTreeMap<String, String>,
    /// Folder of compiled components.
    pub cache_dir: PathBuf,
    /// Where requests arrive.
    pub listener: TcpListener,
    /// From the arrival of a request to its response.
    pub timeout: Duration,
    /// Linear memory of one instance.
    pub memory_bytes: usize,
}

/// Compiles an application's components and starts to answer requests.
///
/// # Errors
/// `Config` if the manifest uses what this host does not have, a variable has no value, or a component imports what Spin does not offer.
pub async fn start(options: SpinOptions) -> Result<ServerHandle> {
    let manifest = Manifest::read(&options.manifest)?;
    let routes = route::Routes::new(&manifest)?;
    let values = manifest.values(&options.variables)?;
    let compiler = Compiler::new(new_engine()?, options.cache_dir);
    let client = outbound::client()?;
    let (stores, chain) = (stores::Stores::default(), chain::Chain::default());
    let mut handlers = BTreeMap::new();
    for (name, component) in &manifest.component {
        let given = state::Given::new(name, component, &values, client.clone(), chain.clone(), stores.clone())?;
        let (compiling, source) = (compiler.clone(), component.path(name, &options.manifest)?);
        let compiled = tokio::task::spawn_blocking(move || {
            let bytes = std::fs::read(&source).map_err(|e| Error::config(format!("`{}` cannot be read: {e}", source.display())))?;
            instances::link(compiling.engine(), &compiling.compile(&bytes, &Digest::sha256(&bytes))?)
        });
        let pre = compiled
            .await
            .map_err(|e| Error::bug(format!("compiling a component failed: {e}")))?
            .map_err(|e| Error::new(e.kind, format!("the component `{name}`: {}", e.message)))?;
        let instances = instances::Instances {
            engine: compiler.engine().clone(),
            pre,
            given: Arc::new(given),
            timeout: options.timeout,
            memory_bytes: options.memory_bytes,
        };
        handlers.insert(name.clone(), ProxyHandler::new(instances));
    }
    let front = Arc::new(front::Front { routes, handlers });
    chain.close(&front);
    ServerHandle::start(options.listener, HttpLimits::default(), move |request| {
        let front = front.clone();
        async move { front.answer(request).await }
    })
}
