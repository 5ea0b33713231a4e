//! The objects that a stage was granted, with a log of everything that it reads and writes.

use std::collections::BTreeMap;

use parking_lot::{Mutex, MutexGuard};
use tidemill_core::{
    Digest, ErrorKind, ObjectMeta, Objects, PutResult, Result, Trigger, digest_json,
    record::{OutputObject, ReadRecord},
};

use crate::Grants;

/// The objects that a run read and wrote, each once, in the order of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessLog {
    /// By kind, then key or prefix.
    pub reads: Vec<ReadRecord>,
    /// By key.
    pub outputs: Vec<OutputObject>,
}

/// The objects of a store within the grants of one run.
#[derive(Debug)]
pub struct ScopedObjects<O> {
    objects: O,
    grants: Grants,
    trigger: Trigger,
    accesses: Mutex<Accesses>,
}

/// By kind and name, so that the log does not depend on the order of a stage's threads.
#[derive(Debug, Default)]
struct Accesses {
    reads: BTreeMap<(u8, String), ReadRecord>,
    outputs: BTreeMap<String, OutputObject>,
}

impl<O: Objects> ScopedObjects<O> {
    /// `trigger` may be read whatever the grants say.
    pub fn new(objects: O, grants: Grants, trigger: Trigger) -> Self {
        Self {
            objects,
            grants,
            trigger,
            accesses: Mutex::default(),
        }
    }

    /// All objects, without grants and log.
    pub fn as_unrestricted(&self) -> &O {
        &self.objects
    }

    /// The grants.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// The log of the run.
    pub fn finish(self) -> AccessLog {
        let accesses = self.accesses.into_inner();
        AccessLog {
            reads: accesses.reads.into_values().collect(),
            outputs: accesses.outputs.into_values().collect(),
        }
    }

    /// Whether an object may be read.
    pub fn check_read(&self, key: &str) -> Result<()> {
        if key == self.trigger.key {
            Ok(())
        } else {
            self.grants.check_read(key)
        }
    }

    /// Records that an object was read. The first read of a key counts: a later one may see what the run wrote.
    pub fn record_read(&self, read: ReadRecord) {
        let name = match &read {
            ReadRecord::Object { key, .. } | ReadRecord::Absent { key } => (0, key.clone()),
            ReadRecord::Listing { prefix, .. } => (1, prefix.clone()),
        };
        let mut accesses = self.accesses();
        if !accesses.outputs.contains_key(&name.1) {
            accesses.reads.entry(name).or_insert(read);
        }
    }

    /// Records that an object was not found.
    pub fn record_absent(&self, key: &str) {
        self.record_read(ReadRecord::Absent { key: key.to_owned() });
    }

    fn accesses(&self) -> MutexGuard<'_, Accesses> {
        self.accesses.lock()
    }

    fn record_write(&self, key: &str, digest: Digest, size: u64) {
        let output = OutputObject {
            key: key.to_owned(),
            digest,
            size,
        };
        self.accesses().outputs.insert(key.to_owned(), output);
    }
}

impl<O: Objects> Objects for ScopedObjects<O> {
    fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.check_read(key)?;
        let found = self.objects.get(key);
        match &found {
            Ok(bytes) => self.record_read(ReadRecord::Object {
                key: key.to_owned(),
                digest: Digest::sha256(bytes),
            }),
            Err(error) if error.kind == ErrorKind::NotFound => self.record_absent(key),
            Err(_) => {}
        }
        found
    }

    /// Recorded by the whole object: a part of it has no name.
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Vec<u8>> {
        self.check_read(key)?;
        let is_known = self.accesses().reads.contains_key(&(0, key.to_owned()));
        if !is_known {
            let digest = self.objects.digest(key).inspect_err(|error| {
                if error.kind == ErrorKind::NotFound {
                    self.record_absent(key);
                }
            })?;
            self.record_read(ReadRecord::Object {
                key: key.to_owned(),
                digest,
            });
        }
        self.objects.get_range(key, offset, length)
    }

    /// Presence alone is recorded as a listing of the one key.
    fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.check_read(key)?;
        let found = self.objects.head(key)?;
        match &found {
            None => self.record_absent(key),
            Some(meta) => self.record_read(listing(key, std::slice::from_ref(meta))),
        }
        Ok(found)
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<PutResult> {
        self.grants.check_write(key)?;
        let done = self.objects.create(key, bytes)?;
        if done != PutResult::Conflict {
            self.record_write(key, Digest::sha256(bytes), bytes.len() as u64);
        }
        Ok(done)
    }

    fn swap(&self, key: &str, expected: Option<&Digest>, bytes: &[u8]) -> Result<PutResult> {
        // A pointer is moved, not made: it is no output, or a run that is made again after a crash would name others than the first.
        self.grants.check_write(key)?;
        self.objects.swap(key, expected, bytes)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<ObjectMeta>> {
        self.grants.check_list(prefix)?;
        let found = self.objects.list(prefix, after, limit)?;
        let name = after.map_or_else(|| prefix.to_owned(), |after| format!("{prefix} after {after}"));
        self.record_read(listing(&name, &found));
        Ok(found)
    }
}

fn listing(prefix: &str, found: &[ObjectMeta]) -> ReadRecord {
    ReadRecord::Listing {
        prefix: prefix.to_owned(),
        keys: found.len() as u64,
        digest: digest_json(&found),
    }
}
