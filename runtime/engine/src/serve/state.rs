//! The state of an instance, and the state that all instances of a server share.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tidemill_nn::GraphCache;
use tidemill_predictions::DurableLog;
use tidemill_store::ServingView;
use wasmtime::{StoreLimits, StoreLimitsBuilder, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};
use wasmtime_wasi_nn::wit::{WasiNnCtx, WasiNnView};

use super::imports::Receipts;
use crate::nn;

/// Graphs that an instance may hold for having been found by name.
const MAX_FOUND_GRAPHS: usize = 64;

/// Shared by all instances of a server.
pub(super) struct ServerState {
    pub(super) objects: ServingView,
    pub(super) log: DurableLog,
    pub(super) graphs: Arc<GraphCache>,
}

/// State of one instance.
pub(super) struct InstanceState {
    pub(super) shared: Arc<ServerState>,
    /// Receipts of the request in flight.
    pub(super) receipts: Receipts,
    pub(super) limits: StoreLimits,
    wasi: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    nn: WasiNnCtx,
    /// Graphs that `nn` holds.
    found: Arc<AtomicUsize>,
    hooks: DenyOutbound,
}

impl InstanceState {
    pub(super) fn new(shared: Arc<ServerState>, memory_bytes: usize) -> Self {
        let found = Arc::default();
        Self {
            limits: StoreLimitsBuilder::new().memory_size(memory_bytes).build(),
            wasi: WasiCtx::builder().inherit_stderr().build(),
            table: ResourceTable::new(),
            http: WasiHttpCtx::new(),
            nn: nn::new_context(shared.graphs.clone(), Arc::clone(&found)),
            found,
            hooks: DenyOutbound,
            receipts: Receipts::default(),
            shared,
        }
    }

    pub(super) fn nn(&mut self) -> WasiNnView<'_> {
        WasiNnView::new(&mut self.table, &mut self.nn)
    }

    /// Called before each request: lets go of graphs that the instance has found by name, once they are many.
    pub(super) fn release_graphs(&mut self) {
        if self.found.load(Relaxed) > MAX_FOUND_GRAPHS {
            self.found.store(0, Relaxed);
            self.nn = nn::new_context(self.shared.graphs.clone(), self.found.clone());
        }
    }
}

impl WasiView for InstanceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for InstanceState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// A served component may not send requests.
struct DenyOutbound;

type SentRequest = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for DenyOutbound {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<SentRequest, Error>> + Send> {
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }
}
