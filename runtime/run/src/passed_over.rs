//! Objects that are not what their key says. They are passed over, each with one line in the log of this process.

use std::{collections::HashSet, sync::LazyLock};

use parking_lot::Mutex;
use tidemill_core::{Error, layout::is_ignored};

/// Keys that are remembered: a store full of strays must not fill the memory.
const MAX_REMEMBERED: usize = 10_000;

static WARNED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Says that the object with this key is passed over, the first time; hidden files never are worth a line.
pub fn warn_passed_over(key: &str, error: &Error) {
    let mut warned = WARNED.lock();
    if is_ignored(key) || warned.contains(key) {
        return;
    }
    if warned.len() < MAX_REMEMBERED {
        warned.insert(key.to_owned());
    }
    drop(warned);
    tracing::warn!("passed over: {error}");
}
