//! Serves an HTTP component: hyper in front, reused instances behind, each with one request in flight, so that a trap fails one request.
//! A response waits until the predictions in it are in the log. Stopping is graceful: accepted requests are answered.

mod component;
mod imports;
mod instances;
mod router;
mod state;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tidemill_core::{Digest, Error, Result};
use tidemill_nn::{Backend, GraphCache};
use tidemill_predictions::DurableLog;
use tidemill_store::{ServingView, Store};
use tokio::net::TcpListener;
use wasmtime_wasi_http::handler::ProxyHandler;

use crate::{Compiler, http_server::ServerHandle};

pub use component::new_engine;
pub use router::{HostRoutes, RouteFilter, RouteHandler};

/// Limits of a request, and of all requests together.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// From the arrival of a request to its response.
    pub timeout: Duration,
    /// Linear memory of one instance.
    pub memory_bytes: usize,
    /// Body of a request to the component.
    pub body_bytes: usize,
    /// Body of a request to [`HostRoutes`].
    pub host_body_bytes: usize,
    /// Instances, and so requests that run concurrently; more wait.
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

/// Options of a [`Server`].
pub struct ServeOptions {
    /// Folder of compiled components; see [`Compiler`].
    pub cache_dir: PathBuf,
    /// The HTTP component.
    pub component: Vec<u8>,
    /// The store that models are read from.
    pub store: Store,
    /// The log of predictions.
    pub log: DurableLog,
    /// Runs ONNX models.
    pub nn: Arc<dyn Backend>,
    /// Bound before anything else is opened.
    pub listener: TcpListener,
    /// Limits of requests.
    pub limits: ServeLimits,
    /// Routes that the host answers itself.
    pub host_routes: Option<HostRoutes>,
}

/// Starts servers.
pub struct Server;

impl Server {
    /// Compiles the component and starts to answer requests.
    ///
    /// # Errors
    /// `Config` if the bytes are not a component, `Input` if it imports what is not offered.
    pub async fn start(options: ServeOptions) -> Result<ServerHandle> {
        let (bytes, cache) = (options.component, options.cache_dir);
        let compiled = tokio::task::spawn_blocking(move || {
            let compiler = Compiler::new(new_engine()?, cache);
            let component = compiler.compile(&bytes, &Digest::sha256(&bytes));
            let component = component.map_err(|error| error.context("the serving component"))?;
            let pre = component::link(compiler.engine(), &component)?;
            Ok((compiler.engine().clone(), pre))
        });
        let (engine, pre) = compiled
            .await
            .map_err(|e| Error::bug(format!("compiling the serving component failed: {e}")))??;
        let admission = instances::Admission::new(options.limits.instances);
        let instances = instances::Instances {
            engine,
            pre,
            shared: Arc::new(state::ServerState {
                objects: ServingView::new(options.store),
                log: options.log,
                graphs: Arc::new(GraphCache::new(options.nn)),
            }),
            pool: admission.pool(),
            limits: options.limits,
        };
        let router = Arc::new(router::Router {
            handler: ProxyHandler::new(instances),
            admission,
            limits: options.limits,
            host_routes: options.host_routes,
        });
        ServerHandle::start(options.listener, move |request| {
            let router = router.clone();
            async move { router.handle(request).await }
        })
    }
}
