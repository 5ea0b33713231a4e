//! The store as far as a stage was granted it, with everything read and written recorded.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tidemill_core::{
    Digest, ErrorKind, Meta, Objects, Put, Result, Trigger, digest_json,
    record::{Output, Read},
};

use crate::Grants;

/// What a run looked at and wrote, each once, in the order of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// By kind, then key or prefix.
    pub reads: Vec<Read>,
    /// By key.
    pub outputs: Vec<Output>,
}

/// Objects, as one run may touch them.
#[derive(Debug)]
pub struct Granted<O> {
    objects: O,
    grants: Grants,
    trigger: Trigger,
    seen: Mutex<Seen>,
}

/// By kind and name, so that the record does not depend on the order of a stage's threads.
#[derive(Debug, Default)]
struct Seen {
    reads: BTreeMap<(u8, String), Read>,
    outputs: BTreeMap<String, Output>,
}

impl<O: Objects> Granted<O> {
    /// `trigger` may be read whatever the grants say.
    pub fn new(objects: O, grants: Grants, trigger: Trigger) -> Self {
        Self {
            objects,
            grants,
            trigger,
            seen: Mutex::default(),
        }
    }

    /// All objects, without grants and record.
    pub fn all(&self) -> &O {
        &self.objects
    }

    /// What was granted.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// What the run looked at and wrote.
    pub fn finish(self) -> Recorded {
        let seen = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        Recorded {
            reads: seen.reads.into_values().collect(),
            outputs: seen.outputs.into_values().collect(),
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

    /// Records that an object was read: the first look at a key counts, since a later one may see the run's own writing.
    pub fn saw(&self, read: Read) {
        let name = match &read {
            Read::Object { key, .. } | Read::Absent { key } => (0, key.clone()),
            Read::Listing { prefix, .. } => (1, prefix.clone()),
        };
        let mut seen = self.seen();
        if !seen.outputs.contains_key(&name.1) {
            seen.reads.entry(name).or_insert(read);
        }
    }

    /// Records that an object was looked for and is not there.
    pub fn saw_nothing(&self, key: &str) {
        self.saw(Read::Absent { key: key.to_owned() });
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrote(&self, key: &str, digest: Digest, size: u64) {
        let output = Output {
            key: key.to_owned(),
            digest,
            size,
        };
        self.seen().outputs.insert(key.to_owned(), output);
    }
}

impl<O: Objects> Objects for Granted<O> {
    fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.check_read(key)?;
        let found = self.objects.get(key);
        match &found {
            Ok(bytes) => self.saw(Read::Object {
                key: key.to_owned(),
                digest: Digest::of(bytes),
            }),
            Err(error) if error.kind == ErrorKind::NotFound => self.saw_nothing(key),
            Err(_) => {}
        }
        found
    }

    /// Recorded by the whole object: a part of it has no name.
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Vec<u8>> {
        self.check_read(key)?;
        let is_known = self.seen().reads.contains_key(&(0, key.to_owned()));
        if !is_known {
            let digest = self.objects.digest(key).inspect_err(|error| {
                if error.kind == ErrorKind::NotFound {
                    self.saw_nothing(key);
                }
            })?;
            self.saw(Read::Object {
                key: key.to_owned(),
                digest,
            });
        }
        self.objects.get_range(key, offset, length)
    }

    /// Presence alone is recorded as a listing of the one key.
    fn head(&self, key: &str) -> Result<Option<Meta>> {
        self.check_read(key)?;
        let found = self.objects.head(key)?;
        match &found {
            None => self.saw_nothing(key),
            Some(meta) => self.saw(listing(key, std::slice::from_ref(meta))),
        }
        Ok(found)
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Put> {
        self.grants.check_write(key)?;
        let done = self.objects.create(key, bytes)?;
        if done != Put::Conflict {
            self.wrote(key, Digest::of(bytes), bytes.len() as u64);
        }
        Ok(done)
    }

    fn swap(&self, key: &str, expected: Option<&Digest>, bytes: &[u8]) -> Result<Put> {
        // A pointer is moved, not made: it is no output, or a run that is made again after a crash would name others than the first.
        self.grants.check_write(key)?;
        self.objects.swap(key, expected, bytes)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Meta>> {
        self.grants.check_list(prefix)?;
        let found = self.objects.list(prefix, after, limit)?;
        let name = after.map_or_else(|| prefix.to_owned(), |after| format!("{prefix} after {after}"));
        self.saw(listing(&name, &found));
        Ok(found)
    }
}

fn listing(prefix: &str, found: &[Meta]) -> Read {
    Read::Listing {
        prefix: prefix.to_owned(),
        keys: found.len() as u64,
        digest: digest_json(&found),
    }
}
