//! What must be equal after any disturbance: every object by its bytes, except what says how a run went.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use tidemill_core::Digest;
use tidemill_host::Store;

/// Excluded, and why: `runs/` holds durations and attempts, `audit/` who did what and when, `predictions/` when a row was served and
/// into which file it was cut, `logs/` the names of those files. What was predicted is pinned by the digest in `windows/`.
pub const EXCLUDED: [&str; 4] = ["runs/", "audit/", "predictions/", "logs/"];

/// Key → SHA-256, of any store.
pub async fn of_store(store: &Store) -> Result<BTreeMap<String, Digest>> {
    let mut found = BTreeMap::new();
    for meta in store.list("", None, usize::MAX).await? {
        if !EXCLUDED.iter().any(|prefix| meta.key.starts_with(prefix)) {
            let digest = Digest::sha256(&store.get(&meta.key).await?);
            found.insert(meta.key, digest);
        }
    }
    Ok(found)
}

/// Key → SHA-256, of a store that is a folder.
pub fn of_folder(store: &Path) -> Result<BTreeMap<String, Digest>> {
    let mut found = BTreeMap::new();
    walk(store, store, &mut found)?;
    Ok(found)
}

fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Digest>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let key = path.strip_prefix(root)?.to_string_lossy().into_owned();
        if key.starts_with(".tidemill") || EXCLUDED.iter().any(|prefix| format!("{key}/").starts_with(prefix)) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, found)?;
        } else {
            found.insert(key, Digest::sha256(&std::fs::read(&path)?));
        }
    }
    Ok(())
}

/// What differs, for a message.
pub fn diff(expected: &BTreeMap<String, Digest>, found: &BTreeMap<String, Digest>) -> Vec<String> {
    let missing = expected
        .iter()
        .filter(|(k, _)| !found.contains_key(*k))
        .map(|(k, _)| format!("missing {k}"));
    let extra = found.keys().filter(|k| !expected.contains_key(*k)).map(|k| format!("extra {k}"));
    let other = expected
        .iter()
        .filter(|(k, d)| found.get(*k).is_some_and(|f| f != *d))
        .map(|(k, _)| format!("other bytes {k}"));
    missing.chain(extra).chain(other).collect()
}
