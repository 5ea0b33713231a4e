//! Spin's variables for a host that has none, such as `wasmtime serve`: the variable `bucket` is read from the environment variable
//! `SPIN_VARIABLE_BUCKET`, which also sets it in Spin itself.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "what is exported is raw pointers underneath, in generated code alone")]

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package tidemill:environment;
            world environment {
                export fermyon:spin/variables@2.0.0;
            }
        ",
        path: ["../../../runtime/wit/spin"],
        world: "tidemill:environment/environment",
        generate_all,
    });
}

use bindings::exports::fermyon::spin::variables::{Error, Guest};

/// The variables, read from the environment.
#[derive(Debug)]
pub struct Environment;

impl Guest for Environment {
    fn get(name: String) -> Result<String, Error> {
        std::env::var(format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase())).map_err(|_| Error::Undefined(name))
    }
}

bindings::export!(Environment with_types_in bindings);
