//! Instances as Spin has them: up to 16 requests at once, up to 128 in a life, given up after a second without one.

use std::{pin::Pin, sync::Arc, time::Duration};

use tidemill_core::{Error, Result};
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

use super::{
    imports,
    state::{Given, State},
};
use crate::{expiration::Expiration, http_server::ticks};

const AT_ONCE: usize = 16;
const IN_A_LIFE: usize = 128;
const IDLE: Duration = Duration::from_secs(1);
/// For what a component still does behind its answer.
const BEHIND: Duration = Duration::from_secs(30);

/// Links all that a component may import.
pub(super) fn link(engine: &Engine, component: &Component) -> Result<ProxyPre<State>> {
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

/// Makes instances of one component.
pub(super) struct Instances {
    pub(super) engine: Engine,
    pub(super) pre: ProxyPre<State>,
    pub(super) given: Arc<Given>,
    pub(super) timeout: Duration,
    pub(super) memory_bytes: usize,
}

impl HandlerState for Instances {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Worker>> {
        let mut store = Store::new(&self.engine, State::new(self.given.clone(), self.memory_bytes));
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(ticks(self.timeout));
        store.epoch_deadline_trap();
        let proxy = self.pre.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: Expiration::new(IDLE, self.timeout, BEHIND),
            state: Worker { timeout: self.timeout },
        })
    }
}

/// One instance's rules.
pub(super) struct Worker {
    timeout: Duration,
}

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        match (concurrent, total) {
            (_, IN_A_LIFE..) => ShouldAccept::Never,
            (AT_ONCE.., _) => ShouldAccept::No,
            _ => ShouldAccept::Yes,
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, State>,
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        store.set_epoch_deadline(ticks(self.timeout));
        let mut deadline = Box::pin(tokio::time::sleep(self.timeout));
        Box::pin(std::future::poll_fn(move |context| deadline.as_mut().poll(context)))
    }

    fn drop(&self, _store: Store<State>, result: wasmtime::Result<()>) {
        if let Err(error) = result
            && error.to_string() != "worker panicked"
        {
            tracing::error!("an instance ended: {error:#}");
        }
    }
}
