//! Serves an HTTP component: hyper in front, reused instances behind, each with one request in flight, so that a trap costs
//! one request. An answer is held back until the predictions it tells of are kept. Stopping is graceful: accepted requests are answered.

mod admission;
mod bindings;
pub(crate) mod component;
mod imports;
mod instances;
mod metrics;
mod nn;
mod router;
mod state;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tidemill_core::{Error, Result};
use tidemill_host::{
    Store,
    nn::{Backend, GraphCache},
};
use tidemill_predictions::DurableLog;
use tokio::net::TcpListener;
use wasmtime_wasi_http::handler::ProxyHandler;

use crate::http_server::ServerHandle;

pub use router::{HostRoutes, RouteFilter, RouteHandler};

/// What one request and all of them may use.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// From the request's arrival to its answer.
    pub timeout: Duration,
    /// Linear memory of one instance.
    pub memory_bytes: usize,
    /// Body of a request to the component.
    pub body_bytes: usize,
    /// Body of a request to [`Extra`].
    pub host_body_bytes: usize,
    /// Instances, and so requests in components at once; more wait.
    pub instances: usize,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            memory_bytes: 512 << 20,
            body_bytes: 8 << 20,
            host_body_bytes: 256 << 20,
            instances: 32,
        }
    }
}

/// What to serve, and where.
pub struct ServeOptions {
    /// Compiled components are kept here.
    pub cache_dir: PathBuf,
    /// The HTTP component.
    pub component: Vec<u8>,
    /// Where models are read from.
    pub store: Store,
    /// Where predictions go.
    pub log: DurableLog,
    /// What runs ONNX.
    pub nn: Arc<dyn Backend>,
    /// Where to answer: see [`listen`].
    pub listener: TcpListener,
    /// What requests may use.
    pub limits: ServeLimits,
    /// Routes of the host itself, asked before the component.
    pub host_routes: Option<HostRoutes>,
}

/// Takes an address, before anything else is opened for it; port 0 takes a free one. `Config` if it is in use.
pub async fn listen(addr: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|e| unbound(addr, &e))
}

/// Starts servers.
pub struct Server;

impl Server {
    /// Compiles the component and begins to answer. `Input` if the component is none or imports what is not offered.
    pub async fn start(options: ServeOptions) -> Result<ServerHandle> {
        let (bytes, cache) = (options.component, options.cache_dir);
        let made = tokio::task::spawn_blocking(move || {
            let engine = component::engine()?;
            let component = component::compile(&engine, &bytes, &cache)?;
            let pre = component::link(&engine, &component)?;
            Ok((engine, pre))
        });
        let (engine, pre) = made
            .await
            .map_err(|e| Error::bug(format!("compiling the serving component failed: {e}")))??;
        let loaded = nn::Loaded::new(GraphCache::new(options.nn));
        let shared = Arc::new(state::ServerState {
            objects: tidemill_host::ServingView::new(options.store),
            log: options.log,
            graphs: loaded,
        });
        let places = admission::Admission::new(options.limits.instances);
        let instances = instances::Instances {
            engine: engine.clone(),
            pre,
            shared,
            pool: places.pool(),
            limits: options.limits,
        };
        let front = Arc::new(router::Router {
            handler: ProxyHandler::new(instances),
            admission: places,
            limits: options.limits,
            host_routes: options.host_routes,
        });
        ServerHandle::start(options.listener, engine, move |request| {
            let front = front.clone();
            async move { front.handle(request).await }
        })
    }
}

fn unbound(addr: SocketAddr, error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::AddrInUse {
        return Error::config(format!(
            "port {} of `{}` is in use by another process: stop it, or choose another port",
            addr.port(),
            addr.ip()
        ));
    }
    Error::config(format!("`{addr}` cannot be listened on: {error}"))
}
