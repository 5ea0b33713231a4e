//! Measurement stands behind the imports of the stages in a chain: the objects of the run that is under way, as far as its node was granted
//! them, and the ledger. One component holds the store, and every other one speaks to it alone.
//!
//! A stage's imports are synchronous, so this blocks: its instance serves nothing else meanwhile.
#![cfg(target_family = "wasm")]

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
            package tidemill:behind;
            world behind {
                import fermyon:spin/variables@2.0.0;
                export tidemill:stage/types@0.1.0;
                export tidemill:stage/run-context@0.1.0;
                export tidemill:stage/objects@0.1.0;
                export tidemill:stage/progress@0.1.0;
                export tidemill:stage/fetch@0.1.0;
                export tidemill:runs/inbox@0.1.0;
                export tidemill:runs/runs@0.1.0;
                export tidemill:runs/chain@0.1.0;
            }
        ",
        path: ["../../../runtime/wit/spin", "../../../runtime/wit/stage", "../../../runtime/wit/runs"],
        world: "tidemill:behind/behind",
        generate_all,
    });
}

struct Behind;

#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    reason = "generated: the canonical ABI is raw pointers"
)]
mod exported {
    use super::{Behind, bindings};
    bindings::export!(Behind with_types_in bindings);
}
