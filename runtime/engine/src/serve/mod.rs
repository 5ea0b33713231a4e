//! Serves an HTTP component: hyper in front, reused instances behind, each with one request in flight, so that a trap fails one request.
//! A response waits until the predictions in it are in the log. Stopping is graceful: accepted requests are answered.

mod body;
mod component;
mod imports;
mod instances;
mod origin;
mod router;
mod served;
mod state;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::RwLock;
use tidemill_core::{Digest, Error, Result};
use tidemill_nn::{Backend, GraphCache};
use tidemill_predictions::DurableLog;
use tidemill_store::{ServingView, Store};
use tokio::net::TcpListener;

use self::{
    router::{Router, RouterState},
    state::ServerState,
};
use crate::{
    Compiler,
    http_server::{HttpLimits, ServerHandle},
};

pub use body::MIN_BODY_BYTES_PER_SECOND;
pub use component::new_engine;
pub use origin::HostPolicy;
pub use router::{HostRoutes, RouteFilter, RouteHandler};
pub use served::ServedComponent;

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
    /// Between two parts of a body.
    pub body_idle: Duration,
    /// Bodies of all requests to the component that are under way.
    pub body_bytes_together: usize,
    /// Bodies of all requests to [`HostRoutes`] that are under way.
    pub host_body_bytes_together: usize,
    /// Instances, and so requests that run concurrently; more wait.
    pub instances: usize,
    /// Requests that wait; more are answered with 503.
    pub waiting: usize,
    /// From the call of [`Server::stop`], when the server says that it is not ready, to its last connection.
    pub stop_delay: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            memory_bytes: 512 << 20,
            body_bytes: 8 << 20,
            host_body_bytes: 256 << 20,
            body_idle: Duration::from_secs(30),
            body_bytes_together: 256 << 20,
            host_body_bytes_together: 512 << 20,
            instances: 32,
            waiting: 1024,
            stop_delay: Duration::ZERO,
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
    /// Names under which the server is asked, beside its address; see [`HostPolicy`].
    pub hosts: Vec<String>,
    /// Limits of requests.
    pub limits: ServeLimits,
    /// Limits of connections.
    pub http: HttpLimits,
    /// Routes that the host answers itself.
    pub host_routes: Option<HostRoutes>,
}

/// A running server. Its component and its host routes can be replaced while requests come.
///
/// [`stop`](Self::stop) it: a server that is dropped runs until the runtime ends.
pub struct Server {
    http: ServerHandle,
    /// Replaced as a whole: a request is answered by the router that it found.
    router: Arc<RwLock<Arc<Router>>>,
    compiler: Compiler,
    shared: Arc<ServerState>,
    limits: ServeLimits,
}

impl Server {
    /// Compiles the component and starts to answer requests.
    ///
    /// # Errors
    /// `Config` if the bytes are not a component, `Input` if it imports what is not offered.
    pub async fn start(options: ServeOptions) -> Result<Self> {
        let compiler = Compiler::new(new_engine()?, options.cache_dir);
        let shared = Arc::new(ServerState {
            objects: ServingView::new(options.store),
            log: options.log,
            graphs: Arc::new(GraphCache::new(options.nn)),
        });
        let component = compile(compiler.clone(), shared.clone(), options.limits, options.component).await?;
        let addr = options.listener.local_addr();
        let addr = addr.map_err(|e| Error::bug(format!("a listener does not know its address: {e}")))?;
        let policy = HostPolicy::new(addr, &options.hosts);
        let router = Arc::new(RwLock::new(Arc::new(Router {
            component,
            host_routes: options.host_routes,
            shared: Arc::new(RouterState::new(policy, &options.limits)),
        })));
        let current = router.clone();
        let http = ServerHandle::start(options.listener, options.http, move |request| {
            let router = current.read().clone();
            async move { router.handle(request).await }
        })?;
        Ok(Self {
            http,
            router,
            compiler,
            shared,
            limits: options.limits,
        })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.http.addr()
    }

    /// The component that answers requests now.
    pub fn component(&self) -> Arc<ServedComponent> {
        self.router.read().component.clone()
    }

    /// Compiles another component, which [`replace`](Self::replace) then serves.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub async fn compile(&self, component: Vec<u8>) -> Result<Arc<ServedComponent>> {
        compile(self.compiler.clone(), self.shared.clone(), self.limits, component).await
    }

    /// Answers requests by this component and these routes from now on. Requests that have begun finish on those before.
    pub fn replace(&self, component: Arc<ServedComponent>, host_routes: Option<HostRoutes>) {
        let mut router = self.router.write();
        *router = Arc::new(Router {
            component,
            host_routes,
            shared: router.shared.clone(),
        });
    }

    /// Says that it is ready: what it serves is loaded. Until then the paths that balancers ask answer 503, all others as they will.
    pub fn set_ready(&self) {
        self.router.read().shared.set_ready();
    }

    /// Says that it is not ready, accepts no more connections after [`ServeLimits::stop_delay`], answers the requests that it has accepted
    /// as far as [`HttpLimits::drain`] suffices, and ends.
    pub async fn stop(self) {
        self.router.read().shared.stop();
        tokio::time::sleep(self.limits.stop_delay).await;
        self.http.stop().await;
    }
}

async fn compile(compiler: Compiler, shared: Arc<ServerState>, limits: ServeLimits, bytes: Vec<u8>) -> Result<Arc<ServedComponent>> {
    let compiled = tokio::task::spawn_blocking(move || {
        let component = compiler.compile(&bytes, &Digest::sha256(&bytes));
        let component = component.map_err(|error| error.context("the serving component"))?;
        let pre = component::link(compiler.engine(), &component)?;
        Ok(Arc::new(ServedComponent::new(compiler.engine().clone(), pre, shared, limits)))
    });
    compiled
        .await
        .map_err(|e| Error::bug(format!("compiling the serving component failed: {e}")))?
}
