//! Wants what no stage may have.

use tidemill_sdk::prelude::*;

#[cfg(target_family = "wasm")]
#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "wanting" });
}

/// Wants what no stage may have.
#[derive(Debug)]
pub struct UnknownImport;

impl Stage for UnknownImport {
    const NAME: &'static str = "unknown-import";
    type Config = ();
    fn run(trigger: &Trigger, (): (), _: &dyn Host) -> Result<Outcome> {
        #[cfg(target_family = "wasm")]
        bindings::elsewhere::missiles::launch::go(&trigger.key);
        Ok(Outcome::skipped(format!("`{}` was launched", trigger.key)))
    }
}

tidemill_sdk::export!(UnknownImport);
