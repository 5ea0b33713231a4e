//! Files that may still grow: a file counts when it did not change between two looks.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;

/// Between two looks at a file that may still grow.
pub(crate) const STABILITY_INTERVAL: Duration = Duration::from_millis(100);
/// A file that was not changed for so long needs no second look.
const STABLE_AGE: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(crate) struct SettlingFiles(Mutex<BTreeMap<String, PendingFile>>);

/// A file at its first look.
struct PendingFile {
    size: u64,
    modified: i128,
    at: Instant,
}

impl SettlingFiles {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.0.lock().keys().cloned().collect()
    }

    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        self.0.lock().keys().any(|key| key.starts_with(prefix))
    }

    pub(crate) fn remove(&self, key: &str) {
        self.0.lock().remove(key);
    }

    /// Whether the file of this size and modification time (Unix nanoseconds) is complete; else it is looked at again.
    pub(crate) fn is_stable(&self, key: &str, size: u64, modified: i128) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let age = now.map_or(0, |now| now.as_nanos() as i128 - modified);
        if age > STABLE_AGE.as_nanos() as i128 {
            return true;
        }
        let mut files = self.0.lock();
        match files.get(key) {
            Some(file) if file.size == size && file.modified == modified => file.at.elapsed() >= STABILITY_INTERVAL,
            _ => {
                let at = Instant::now();
                files.insert(key.to_owned(), PendingFile { size, modified, at });
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grows_is_not_stable() {
        let files = SettlingFiles::default();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i128;
        assert!(files.is_stable("old", 1, 0) && files.is_empty());
        assert!(!files.is_stable("new", 1, now));
        std::thread::sleep(STABILITY_INTERVAL);
        assert!(!files.is_stable("new", 2, now + 1));
        std::thread::sleep(STABILITY_INTERVAL);
        assert!(files.is_stable("new", 2, now + 1));
    }
}
