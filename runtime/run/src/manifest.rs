//! The manifest of a dataset: which uploads were validated, in the order in which that became known, and which data files there are.
//!
//! Each entry is created once and names the one before by digest. Only who has read all entries adds one, so an outcome is in one of them
//! at most, however many processes add. A new outcome costs one read and one write; a process that has read nothing yet reads packs of a
//! thousand entries, then those since the last pack.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tidemill_core::{
    Digest, Error, ErrorKind, PutResult, Result,
    layout::{self, Key},
    pipeline::StageKind,
    record::{Arrival, DataFile, DataFiles, ManifestEntry, ManifestTotals},
};
use tidemill_store::Store;

use crate::Ledger;

/// Number of entries of a pack.
const PACK_ENTRIES: usize = 1000;
/// Maximum number of arrivals of an entry.
const MAX_ARRIVALS: usize = 100;
const READ_CONCURRENCY: usize = 16;

/// A dataset's manifest as far as this process has read it.
#[derive(Debug)]
pub struct Manifest {
    store: Store,
    dataset: String,
    sequence: u64,
    digest: Option<Digest>,
    totals: ManifestTotals,
    /// Ids of the outcomes that an entry has.
    outcomes: HashSet<String>,
    uploads: HashSet<String>,
    /// In their order.
    files: Vec<DataFile>,
    /// The bytes of the entries since the last pack.
    unpacked: Vec<Bytes>,
    /// Nodes of sets that are in the store.
    stored_nodes: HashSet<Digest>,
}

impl Manifest {
    /// The manifest of a dataset; nothing is read yet.
    pub fn new(store: Store, dataset: &str) -> Self {
        Self {
            store,
            dataset: dataset.to_owned(),
            sequence: 0,
            digest: None,
            totals: ManifestTotals::default(),
            outcomes: HashSet::new(),
            uploads: HashSet::new(),
            files: Vec::new(),
            unpacked: Vec::new(),
            stored_nodes: HashSet::new(),
        }
    }

    /// All data files, in their order.
    pub fn files(&self) -> &[DataFile] {
        &self.files
    }

    /// The sums over all entries.
    pub fn totals(&self) -> &ManifestTotals {
        &self.totals
    }

    /// Number and digest of the last entry; 0 and `None` without entries.
    pub fn position(&self) -> (u64, Option<&Digest>) {
        (self.sequence, self.digest.as_ref())
    }

    /// Whether a validation of the upload with this key is settled, of this content or an earlier one.
    pub fn has_upload(&self, key: &str) -> bool {
        self.uploads.contains(key)
    }

    /// Adds all outcomes in the store that no entry has. It lists all, and reads those.
    pub async fn add_missing_outcomes(&mut self, ledger: &Ledger) -> Result<()> {
        let prefix = layout::outcome_prefix(StageKind::Validate.name(), &self.dataset);
        let listed = self.store.list_all(&prefix).await?;
        let ids: BTreeSet<String> = listed.iter().filter_map(|meta| outcome_id(&meta.key)).map(str::to_owned).collect();
        self.add_outcomes(ledger, &ids).await
    }

    /// Adds the outcomes with these ids. Those that an entry has, and those that do not exist, are left out.
    pub async fn add_outcomes(&mut self, ledger: &Ledger, ids: &BTreeSet<String>) -> Result<()> {
        self.read_entries().await?;
        let new: Vec<String> = ids.iter().filter(|id| !self.outcomes.contains(*id)).cloned().collect();
        let (dataset, stage) = (self.dataset.as_str(), StageKind::Validate.name());
        let each = new
            .into_iter()
            .map(|id| async move { Ok::<_, Error>((ledger.find_readable(stage, dataset, &id).await?, id)) });
        let found: Vec<_> = stream::iter(each).buffered(READ_CONCURRENCY).try_collect().await?;
        let found = found.into_iter().filter_map(|(outcome, id)| Some((id, outcome?)));
        let mut arrivals: Vec<_> = found
            .map(|(id, outcome)| (outcome.as_of, Arrival::from_outcome(&id, outcome)))
            .collect();
        arrivals.sort_by(|a, b| (a.0, &a.1.outcome).cmp(&(b.0, &b.1.outcome)));
        self.append(arrivals.into_iter().map(|(_, arrival)| arrival).collect()).await
    }

    /// Adds entries for those of the arrivals that no entry has, after the entries of other processes.
    pub async fn append(&mut self, mut arrivals: Vec<Arrival>) -> Result<()> {
        loop {
            arrivals.retain(|arrival| !self.outcomes.contains(&arrival.outcome));
            if arrivals.is_empty() {
                return self.pack().await;
            }
            self.read_entries().await?;
            arrivals.retain(|arrival| !self.outcomes.contains(&arrival.outcome));
            if arrivals.is_empty() {
                continue;
            }
            let entry = self.next_entry(&arrivals[..arrivals.len().min(MAX_ARRIVALS)]);
            let key = layout::manifest_entry(&self.dataset, entry.sequence);
            let bytes = to_line(&key, &entry)?;
            // In a conflict another process was first: its entry is read, and these arrivals come after it.
            if self.store.create(&key, bytes.clone()).await? != PutResult::Conflict {
                self.apply(&key, bytes)?;
            }
        }
    }

    /// Reads the entries that other processes added.
    pub async fn read_entries(&mut self) -> Result<()> {
        self.read_packs().await?;
        loop {
            // Mostly there is none, which one request says.
            let next = layout::manifest_entry(&self.dataset, self.sequence + 1);
            let Some(bytes) = self.find(&next).await? else { return Ok(()) };
            self.apply(&next, bytes)?;
            let prefix = layout::manifest_entry_prefix(&self.dataset);
            let listed = self.store.list(&prefix, Some(&next), PACK_ENTRIES).await?;
            let store = self.store.clone();
            let reads = listed.into_iter().map(|meta| {
                let store = store.clone();
                async move { Ok::<_, Error>((store.get(&meta.key).await?, meta.key)) }
            });
            let read: Vec<(Bytes, String)> = stream::iter(reads).buffered(READ_CONCURRENCY).try_collect().await?;
            for (bytes, key) in read {
                self.apply(&key, bytes)?;
            }
        }
    }

    async fn read_packs(&mut self) -> Result<()> {
        while self.unpacked.is_empty() {
            let last = self.sequence + PACK_ENTRIES as u64;
            let key = layout::manifest_pack(&self.dataset, last);
            let Some(bytes) = self.find(&key).await? else { return Ok(()) };
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                self.apply(&key, bytes.slice_ref(line))?;
            }
            if self.sequence != last {
                return Err(self.broken(&key, &format!("it ends with entry {}, and its name says {last}", self.sequence)));
            }
            self.unpacked.clear();
        }
        Ok(())
    }

    /// Writes packs of the entries that are in none.
    async fn pack(&mut self) -> Result<()> {
        while self.unpacked.len() >= PACK_ENTRIES {
            let last = self.sequence - (self.unpacked.len() - PACK_ENTRIES) as u64;
            let bytes = self.unpacked[..PACK_ENTRIES].concat();
            let key = layout::manifest_pack(&self.dataset, last);
            if self.store.create(&key, bytes.into()).await? == PutResult::Conflict {
                return Err(self.broken(&key, "it has other entries than the manifest"));
            }
            self.unpacked.drain(..PACK_ENTRIES);
        }
        Ok(())
    }

    /// Names the data files that have rows before `end`, and stores what that name needs.
    pub async fn name_files_before(&mut self, end: jiff::Timestamp) -> Result<DataFiles> {
        let count = self.files.partition_point(|file| file.from < end);
        let (named, objects) = DataFiles::build(&self.dataset, &self.files[..count])?;
        let mut new = objects;
        new.retain(|object| !self.stored_nodes.contains(&object.digest));
        let store = &self.store;
        let each = new.into_iter().map(|object| async move {
            // Equal sets of other windows have the same nodes.
            if store.head(&object.key).await?.is_none() {
                store.create(&object.key, object.bytes.into()).await?;
            }
            Ok::<_, Error>(object.digest)
        });
        let stored: Vec<Digest> = stream::iter(each).buffered(READ_CONCURRENCY).try_collect().await?;
        self.stored_nodes.extend(stored);
        Ok(named)
    }

    fn next_entry(&self, arrivals: &[Arrival]) -> ManifestEntry {
        let mut totals = self.totals.clone();
        let mut new: BTreeSet<(&Digest, &str)> = BTreeSet::new();
        for arrival in arrivals {
            totals.arrivals += 1;
            let file = arrival.file.as_ref().filter(|file| self.place(file).is_err());
            if let Some(file) = file.filter(|file| new.insert((&file.digest, &file.data))) {
                totals.add(file);
            }
        }
        ManifestEntry {
            dataset: self.dataset.clone(),
            sequence: self.sequence + 1,
            previous: self.digest.clone(),
            arrivals: arrivals.to_vec(),
            totals,
        }
    }

    /// Takes in the next entry, after a check that it is the next.
    fn apply(&mut self, key: &str, bytes: Bytes) -> Result<()> {
        let entry: ManifestEntry =
            serde_json::from_slice(&bytes).map_err(|e| self.broken(key, &format!("it is not an entry of a manifest: {e}")))?;
        if (&entry.dataset, entry.sequence) != (&self.dataset, self.sequence + 1) || entry.previous != self.digest {
            return Err(self.broken(
                key,
                &format!(
                    "entry {} of `{}` does not follow entry {} of `{}`",
                    entry.sequence, entry.dataset, self.sequence, self.dataset
                ),
            ));
        }
        let expected = self.next_entry(&entry.arrivals).totals;
        if entry.totals != expected {
            return Err(self.broken(key, &format!("its sums are {:?}, and its arrivals make {expected:?}", entry.totals)));
        }
        for arrival in entry.arrivals {
            if let Some(file) = arrival.file
                && let Err(place) = self.place(&file)
            {
                self.files.insert(place, file);
            }
            self.outcomes.insert(arrival.outcome);
            self.uploads.insert(arrival.upload);
        }
        self.totals = entry.totals;
        self.sequence = entry.sequence;
        self.digest = Some(Digest::sha256(&bytes));
        self.unpacked.push(bytes);
        Ok(())
    }

    /// Where the file is, or else where it belongs.
    fn place(&self, file: &DataFile) -> Result<usize, usize> {
        self.files.binary_search_by(|other| other.order().cmp(&file.order()))
    }

    async fn find(&self, key: &str) -> Result<Option<Bytes>> {
        match self.store.get(key).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    fn broken(&self, key: &str, reason: &str) -> Error {
        Error::input(format!(
            "`{key}` is not part of the manifest of `{dataset}`: {reason}; stop what uses the store and remove `manifests/{dataset}/`: \
             it is made again from outcomes",
            dataset = self.dataset
        ))
    }
}

fn to_line(key: &str, entry: &ManifestEntry) -> Result<Bytes> {
    let mut bytes = serde_json::to_vec(entry).map_err(|e| Error::bug(format!("`{key}` cannot be written as JSON: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

fn outcome_id(key: &str) -> Option<&str> {
    match Key::parse(key)? {
        Key::Outcome { id, .. } => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
