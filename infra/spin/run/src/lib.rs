//! The host of runs on Spin: the imports of the pipeline's stages, within the grants of the running node, and the ledger. Only this
//! component has access to the store; the others call it.
//!
//! A stage's imports are synchronous, so this component blocks: its instance serves nothing else in the meantime.
#![cfg(target_family = "wasm")]

mod convert;
mod fetch;
mod imports;
mod runs;
mod settings;

#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        pub_export_macro: true,
        default_bindings_module: "bindings",
        inline: "
            package tidemill:run-host;
            world run-host {
                import fermyon:spin/variables@2.0.0;
                export tidemill:stage/types@0.1.0;
                export tidemill:stage/run-context@0.1.0;
                export tidemill:stage/objects@0.1.0;
                export tidemill:stage/progress@0.1.0;
                export tidemill:stage/fetch@0.1.0;
                export tidemill:runs/ingest@0.1.0;
                export tidemill:runs/runs@0.1.0;
                export tidemill:runs/pipeline@0.1.0;
            }
        ",
        path: ["../../../runtime/wit/spin", "../../../runtime/wit/stage", "../../../runtime/wit/runs"],
        world: "tidemill:run-host/run-host",
        generate_all,
    });
}

struct RunHost;

#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    reason = "generated: the canonical ABI is raw pointers"
)]
mod exported {
    use super::{RunHost, bindings};
    bindings::export!(RunHost with_types_in bindings);
}
