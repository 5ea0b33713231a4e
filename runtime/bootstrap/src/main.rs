//! The function's program: see the library.

use std::sync::Arc;

use tidemill_bootstrap::{ComponentRunner, compiled_dir};

fn main() {
    tidemill_lambda::run_with(|settings, store, handle| {
        Ok(Arc::new(ComponentRunner::open(&settings.node, store, handle, &compiled_dir())?))
    });
}
