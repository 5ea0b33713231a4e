//! Instances as Spin has them: up to 16 concurrent requests, up to 128 in all, dropped after a second without one.

use std::{pin::Pin, sync::Arc, time::Duration};

use tidemill_core::{Error, Result};
use tidemill_engine::{Expiration, to_ticks};
use wasmtime::{
    Engine, Store, StoreContextMut,
    component::{Component, GuestTaskId, Linker},
};
use wasmtime_wasi_http::{
    WasiHttpView,
    handler::{HandlerState, Instance, ProxyPre, ShouldAccept, WorkerState},
    p2::bindings::ProxyPre as OldPre,
    p3::bindings::ServicePre,
};

use crate::{
    imports,
    state::{Given, State},
};

const MAX_CONCURRENT_REQUESTS: usize = 16;
const MAX_REQUESTS: usize = 128;
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// Time for what a component does after its response.
const POST_RETURN_TIMEOUT: Duration = Duration::from_secs(30);

/// Links everything that a component may import.
pub(crate) fn link(engine: &Engine, component: &Component) -> Result<ProxyPre<State>> {
    let mut linker = Linker::new(engine);
    let linked = wasmtime_wasi::p2::add_to_linker_async(&mut linker)
        .and_then(|()| wasmtime_wasi::p3::add_to_linker(&mut linker))
        .and_then(|()| wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker))
        .and_then(|()| wasmtime_wasi_http::p3::add_to_linker(&mut linker))
        .and_then(|()| imports::add_to_linker(&mut linker));
    linked.map_err(|e| Error::bug(format!("Spin's world cannot be linked: {e:#}")))?;
    let pre = linker
        .instantiate_pre(component)
        .map_err(|e| Error::config(format!("it imports what is not offered here: {e:#}")))?;
    match ServicePre::new(pre.clone()) {
        Ok(pre) => Ok(ProxyPre::P3(pre)),
        Err(error) => OldPre::new(pre)
            .map(ProxyPre::P2)
            .map_err(|_| Error::config(format!("it exports no handler of HTTP, of WASI 0.3 or 0.2: {error:#}"))),
    }
}

/// Creates instances of one component.
pub(crate) struct Instances {
    pub(crate) engine: Engine,
    pub(crate) pre: ProxyPre<State>,
    pub(crate) given: Arc<Given>,
    pub(crate) timeout: Duration,
    pub(crate) memory_bytes: usize,
}

impl HandlerState for Instances {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Worker>> {
        let mut store = Store::new(&self.engine, State::new(self.given.clone(), self.memory_bytes));
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(to_ticks(self.timeout));
        store.epoch_deadline_trap();
        let proxy = self.pre.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: Expiration::new(IDLE_TIMEOUT, self.timeout, POST_RETURN_TIMEOUT),
            state: Worker { timeout: self.timeout },
        })
    }
}

/// Policy of one instance.
pub(crate) struct Worker {
    timeout: Duration,
}

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        match (concurrent, total) {
            (_, MAX_REQUESTS..) => ShouldAccept::Never,
            (MAX_CONCURRENT_REQUESTS.., _) => ShouldAccept::No,
            _ => ShouldAccept::Yes,
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, State>,
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        store.set_epoch_deadline(to_ticks(self.timeout));
        let mut deadline = Box::pin(tokio::time::sleep(self.timeout));
        Box::pin(std::future::poll_fn(move |context| deadline.as_mut().poll(context)))
    }

    fn drop(&self, _store: Store<State>, result: wasmtime::Result<()>) {
        if let Err(error) = result {
            tracing::debug!("an instance ended: {error:#}");
        }
    }
}
