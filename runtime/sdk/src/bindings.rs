//! The code that `wit_bindgen` generates from the contract, and conversions between its types and those of `tidemill_core`. Nothing but
//! `component.rs` looks in here.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    reason = "generated: the canonical ABI is raw pointers"
)]
#![allow(dead_code, reason = "each side converts in one direction")]

wit_bindgen::generate!({
    path: "../wit/stage",
    world: "stage",
    pub_export_macro: true,
    default_bindings_module: "tidemill_sdk::bindings",
});

tidemill_core::wit_conversions!([crate::bindings::tidemill::stage] types run_context objects sql progress);
