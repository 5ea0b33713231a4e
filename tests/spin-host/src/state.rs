//! What an instance holds, and what its component was given.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tidemill_core::Result;
use wasmtime::{StoreLimits, StoreLimitsBuilder, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::{
    chain::Chain,
    manifest::Component,
    outbound::{Allowed, Client, Outbound},
    stores::Stores,
    template::expand,
};

/// What the manifest gives a component, with the application's values in it.
pub(crate) struct Given {
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) stores: BTreeSet<String>,
    pub(crate) all_stores: Stores,
    environment: Vec<(String, String)>,
    allowed: Arc<Vec<Allowed>>,
    client: Client,
    chain: Chain,
}

impl Given {
    pub(crate) fn new(
        name: &str,
        component: &Component,
        values: &BTreeMap<String, String>,
        client: Client,
        chain: Chain,
        all_stores: Stores,
    ) -> Result<Self> {
        let mut variables = BTreeMap::new();
        for (name, template) in &component.variables {
            variables.insert(name.clone(), expand(template, values)?);
        }
        let mut allowed = Vec::new();
        for host in &component.allowed_outbound_hosts {
            let host = expand(host, values)?;
            // A variable that is left empty allows nothing.
            if !matches!(host.as_str(), "" | "http://" | "https://") {
                allowed.push(Allowed::parse(name, &host)?);
            }
        }
        Ok(Self {
            variables,
            stores: component.key_value_stores.iter().cloned().collect(),
            all_stores,
            environment: component.environment.clone().into_iter().collect(),
            allowed: Arc::new(allowed),
            client,
            chain,
        })
    }
}

/// One instance's own.
pub(crate) struct State {
    pub(crate) given: Arc<Given>,
    pub(crate) limits: StoreLimits,
    pub(crate) table: ResourceTable,
    /// Key-value stores that are open.
    pub(crate) open: usize,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
}

impl State {
    pub(crate) fn new(given: Arc<Given>, memory_bytes: usize) -> Self {
        Self {
            limits: StoreLimitsBuilder::new().memory_size(memory_bytes).build(),
            wasi: WasiCtx::builder().inherit_stderr().envs(&given.environment).build(),
            table: ResourceTable::new(),
            open: 0,
            http: WasiHttpCtx::new(),
            outbound: Outbound::new(given.allowed.clone(), given.client.clone(), given.chain.clone()),
            given,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outbound,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
