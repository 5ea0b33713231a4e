//! What `bindgen!` generates of the WIT packages, and conversions between the stage's types and those of `tidemill_core`. Nothing here
//! leaves the crate.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
#![allow(dead_code, reason = "each side converts in one direction")]

tidemill_core::wit_conversions!([crate::bindings::stage::tidemill::stage] types run_context objects sql progress);

/// What a stage imports and exports.
pub mod stage {
    wasmtime::component::bindgen!({
        path: "../wit/stage",
        world: "stage",
        with: { "tidemill:stage/sql.reader": crate::imports::Reader },
    });
}

/// What a served component imports of ours.
pub mod serve {
    wasmtime::component::bindgen!({
        path: "../wit/serve",
        world: "tidemill:serve/serving",
    });
}

/// `wasi:nn` as the ONNX engine's component exports it.
pub mod onnx {
    wasmtime::component::bindgen!({
        inline: "
            package tidemill:onnx;
            world onnx {
                export wasi:nn/tensor@0.2.0-rc-2024-10-28;
                export wasi:nn/graph@0.2.0-rc-2024-10-28;
                export wasi:nn/inference@0.2.0-rc-2024-10-28;
                export wasi:nn/errors@0.2.0-rc-2024-10-28;
            }
        ",
        path: "../wit/wasi-nn",
        world: "tidemill:onnx/onnx",
    });
}
