//! The keys and hosts that a run may use, as `tidemill.toml` grants them, and the log of all objects that it reads and writes. The messages
//! of a refusal say what to add to the grants.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tidemill_core::{
    Digest, Error, ErrorKind, ObjectMeta, Objects, PutResult, Result, Trigger, digest_json,
    layout::matches,
    record::{OutputObject, ReadRecord},
};
use tidemill_store::MAX_OBJECT_SIZE;

/// Patterns of keys that a stage may read and write, and the hosts that it may fetch from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Patterns of keys; a listing must lie inside one of them.
    pub reads: Vec<String>,
    /// Patterns of keys. What may be written may also be read: an output is compared with what is there.
    pub writes: Vec<String>,
    /// Hosts, with `:port` where it is not the usual one: `example.org`.
    pub fetch: Vec<String>,
}

impl Grants {
    /// Whether a key may be read.
    pub fn check_read(&self, key: &str) -> Result<()> {
        let is_granted = self.reads.iter().chain(&self.writes).any(|pattern| matches(pattern, key));
        is_granted
            .then_some(())
            .ok_or_else(|| denied_error("read", key, "reads", &self.reads))
    }

    /// Whether a key may be written.
    pub fn check_write(&self, key: &str) -> Result<()> {
        let is_granted = self.writes.iter().any(|pattern| matches(pattern, key));
        is_granted
            .then_some(())
            .ok_or_else(|| denied_error("write", key, "writes", &self.writes))
    }

    /// Whether all keys under a prefix may be known: the prefix lies inside a pattern.
    pub fn check_list(&self, prefix: &str) -> Result<()> {
        let bare = prefix.trim_end_matches('/');
        let is_granted = self.reads.iter().chain(&self.writes).any(|pattern| covers_listing(pattern, bare));
        is_granted.then_some(()).ok_or_else(|| {
            let wanted = if bare.is_empty() { "**".to_owned() } else { format!("{bare}/**") };
            denied_error("list", &wanted, "reads", &self.reads)
        })
    }

    /// Whether a host may be fetched from.
    pub fn check_fetch(&self, host: &str) -> Result<()> {
        let is_granted = self.fetch.iter().any(|granted| granted.eq_ignore_ascii_case(host));
        is_granted
            .then_some(())
            .ok_or_else(|| denied_error("fetch from", host, "fetch", &self.fetch))
    }
}

/// Whether a listing of `prefix` shows nothing but keys that the pattern is about: each of its segments is matched, and
/// then either `**` follows, or the one last segment.
fn covers_listing(pattern: &str, prefix: &str) -> bool {
    let segments = prefix.split('/').filter(|segment| !segment.is_empty());
    let mut pattern = pattern.split('/').peekable();
    for segment in segments {
        match pattern.next() {
            Some("**") => return true,
            Some(part) if matches(part, segment) => {}
            _ => return false,
        }
    }
    match pattern.next() {
        Some("**") => true,
        Some(last) => last.starts_with('*') && pattern.next().is_none(),
        None => false,
    }
}

fn denied_error(doing: &str, object: &str, field: &str, granted: &[String]) -> Error {
    let list = granted.iter().map(|pattern| format!("`{pattern}`")).collect::<Vec<_>>().join(", ");
    Error::denied(format!(
        "the stage may not {doing} `{object}`: tidemill.toml grants it {field} = [{list}]; add `{object}` to its `{field}` if it should"
    ))
}

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
    max_read: u64,
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
            max_read: MAX_OBJECT_SIZE,
            accesses: Mutex::default(),
        }
    }

    /// The same objects for a stage with so much memory: what it cannot hold is not read for it.
    #[must_use]
    pub fn with_memory(self, bytes: u64) -> Self {
        Self {
            max_read: bytes.min(MAX_OBJECT_SIZE),
            ..self
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
        let mut accesses = self.accesses.lock();
        if !accesses.outputs.contains_key(&name.1) {
            accesses.reads.entry(name).or_insert(read);
        }
    }

    /// Records that an object was not found.
    pub fn record_absent(&self, key: &str) {
        self.record_read(ReadRecord::Absent { key: key.to_owned() });
    }

    fn record_write(&self, key: &str, digest: Digest, size: u64) {
        let output = OutputObject {
            key: key.to_owned(),
            digest,
            size,
        };
        self.accesses.lock().outputs.insert(key.to_owned(), output);
    }
}

impl<O: Objects> Objects for ScopedObjects<O> {
    fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.check_read(key)?;
        let found = self.objects.get_at_most(key, self.max_read);
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
        let is_known = self.accesses.lock().reads.contains_key(&(0, key.to_owned()));
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
        if length > self.max_read {
            let size = self.objects.head(key)?.map_or(0, |meta| meta.size);
            let rest = size.saturating_sub(offset).min(length);
            if rest > self.max_read {
                return Err(Error::limit(format!(
                    "`{key}` has {rest} bytes from {offset} on, and the stage may read {} in one piece; read it in several, or by SQL",
                    self.max_read
                )));
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn grants() -> Grants {
        Grants {
            reads: vec!["datasets/flights/**".into(), "models/late/versions/*".into()],
            writes: vec!["reports/late/**".into()],
            fetch: vec!["example.org".into()],
        }
    }

    #[test]
    fn keys() {
        let grants = grants();
        assert!(grants.check_read("datasets/flights/a/data.parquet").is_ok());
        assert!(grants.check_read("reports/late/x.json").is_ok());
        assert!(grants.check_write("reports/late/x.json").is_ok());
        let error = grants.check_write("datasets/flights/x").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied);
        assert_eq!(
            error.message,
            "the stage may not write `datasets/flights/x`: tidemill.toml grants it writes = [`reports/late/**`]; \
             add `datasets/flights/x` to its `writes` if it should"
        );
        assert!(grants.check_read("datasets/other/x").is_err());
        assert!(grants.check_fetch("EXAMPLE.org").is_ok());
        assert!(grants.check_fetch("example.org.evil").is_err());
    }

    #[test]
    fn listings_lie_inside_a_grant() {
        let grants = grants();
        for good in ["datasets/flights/", "datasets/flights/a/", "models/late/versions/", "reports/late/"] {
            assert!(grants.check_list(good).is_ok(), "{good}");
        }
        for bad in ["datasets/", "", "datasets/other/", "models/late/", "models/late/versions/deep/"] {
            assert!(grants.check_list(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_more_is_read_than_the_stage_can_hold() {
        let objects = tidemill_store::Store::memory().blocking();
        objects.create("datasets/flights/a", &[7; 100]).unwrap();
        let trigger = Trigger {
            key: "datasets/flights/a".into(),
            digest: Digest::sha256(&[7; 100]),
        };
        let scoped = |memory| ScopedObjects::new(objects.clone(), grants(), trigger.clone()).with_memory(memory);
        assert_eq!(scoped(100).get("datasets/flights/a").unwrap().len(), 100);
        assert_eq!(scoped(99).get("datasets/flights/a").unwrap_err().kind, ErrorKind::Limit);
        assert_eq!(scoped(60).get_range("datasets/flights/a", 50, u64::MAX).unwrap().len(), 50);
        assert_eq!(
            scoped(40).get_range("datasets/flights/a", 50, u64::MAX).unwrap_err().kind,
            ErrorKind::Limit
        );
    }
}
