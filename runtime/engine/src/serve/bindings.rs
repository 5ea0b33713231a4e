//! What `bindgen!` makes of the serving world; only `imports` names it.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../wit/serve",
    world: "tidemill:serve/serving",
});
