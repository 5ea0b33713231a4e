//! The function's program: see the library.

use std::sync::Arc;

use tidemill_bootstrap::{Compiled, compiled};

fn main() {
    tidemill_lambda::run_with(|settings, store, handle| Ok(Arc::new(Compiled::open(&settings.node, store, handle, &compiled())?)));
}
