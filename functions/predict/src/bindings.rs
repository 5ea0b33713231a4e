//! The bindings of the component's imports, by `wit-bindgen`. Only `component` uses them.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

spin_sdk::wit_bindgen::generate!({
    inline: "
        package tidemill:predict;
        world imports {
            import tidemill:serve/objects@0.1.0;
            import tidemill:serve/predictions@0.1.0;
        }
    ",
    path: ["../../runtime/wit/serve"],
    world: "tidemill:predict/imports",
    runtime_path: "::spin_sdk::wit_bindgen::rt",
    generate_all,
});

pub use tidemill::serve::{objects, predictions};
