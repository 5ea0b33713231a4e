//! Snapshots of a store: the digest of each object, except those that record how a run went. They must be equal after any outage.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use tidemill_core::Digest;
use tidemill_host::Store;

/// Prefixes that are left out: `runs/` holds durations and attempts, `audit/` users and times, `predictions/` the time at which a row was
/// served and the file that holds it, `logs/` the names of those files, `manifests/` the order of arrival. The predictions themselves are
/// covered by the digest in `windows/`.
pub const EXCLUDED: [&str; 5] = ["runs/", "audit/", "predictions/", "logs/", "manifests/"];

/// The digests of a store's objects by key.
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

/// The same of a store in a folder, read without opening it.
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

/// The differences between two snapshots, one line each.
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
