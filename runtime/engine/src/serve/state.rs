//! What an instance holds, and what all instances share.

use std::sync::{Arc, Mutex, PoisonError};

use tidemill_host::ServingView;
use tidemill_predictions::{DurableLog, Receipt};
use wasmtime::{StoreLimits, StoreLimitsBuilder, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};
use wasmtime_wasi_nn::wit::{WasiNnCtx, WasiNnView};

use super::nn::Loaded;

/// Shared by all instances of a server.
pub(super) struct ServerState {
    pub(super) objects: ServingView,
    pub(super) log: DurableLog,
    pub(super) graphs: Arc<Loaded>,
}

/// What one request handed to the prediction log, for whoever holds its answer back until that is kept.
#[derive(Clone, Default)]
pub(super) struct Receipts(Arc<Mutex<Vec<Append>>>);

/// Rows of one version, and their receipt.
pub(super) struct Append {
    pub(super) model: String,
    pub(super) version: u64,
    pub(super) rows: usize,
    pub(super) receipt: Receipt,
}

impl Receipts {
    pub(super) fn add(&self, append: Append) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(append);
    }

    /// Those that came so far.
    pub(super) fn take(&self) -> Vec<Append> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One instance's own.
pub(super) struct InstanceState {
    pub(super) shared: Arc<ServerState>,
    /// Of the request in flight.
    pub(super) receipts: Receipts,
    pub(super) limits: StoreLimits,
    wasi: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    nn: WasiNnCtx,
    hooks: NoWayOut,
}

impl InstanceState {
    pub(super) fn new(shared: Arc<ServerState>, memory_bytes: usize) -> Self {
        Self {
            limits: StoreLimitsBuilder::new().memory_size(memory_bytes).build(),
            wasi: WasiCtx::builder().inherit_stderr().build(),
            table: ResourceTable::new(),
            http: WasiHttpCtx::new(),
            nn: shared.graphs.context(),
            hooks: NoWayOut,
            receipts: Receipts::default(),
            shared,
        }
    }

    pub(super) fn nn(&mut self) -> WasiNnView<'_> {
        WasiNnView::new(&mut self.table, &mut self.nn)
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

/// A served component answers; it does not ask the network.
struct NoWayOut;

type Sent = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for NoWayOut {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }
}
