//! A host in memory, for a stage's own tests: objects in a map, and grants as `tidemill.toml` gives them. No SQL and no network: a
//! stage that needs those is tested over `tidemill-host`.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tidemill_core::{
    Batches, Digest, Error, ExportedFile, FetchResponse, Host, Level, ObjectMeta, Objects, Outcome, PutResult, Result, RunContext, Sql,
    Stage, Table, Trigger, layout::matches,
};

/// The host, its store, and what it grants beside the trigger.
#[derive(Debug)]
pub struct TestHost {
    context: RunContext,
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    trigger: Mutex<String>,
    reads: Vec<String>,
    writes: Vec<String>,
}

impl Default for TestHost {
    /// Empty, at the first instant of 1970, with nothing granted.
    fn default() -> Self {
        Self {
            context: RunContext {
                as_of: jiff::Timestamp::UNIX_EPOCH,
                seed: 0,
                run_key: "0".repeat(32),
                resource: "test".into(),
            },
            objects: Mutex::default(),
            trigger: Mutex::default(),
            reads: Vec::new(),
            writes: Vec::new(),
        }
    }
}

impl TestHost {
    /// With an object more.
    #[must_use]
    pub fn with_object(self, key: &str, bytes: &[u8]) -> Self {
        self.store().insert(key.to_owned(), bytes.to_vec());
        self
    }

    /// With these patterns of keys, as `reads` and `writes` in `tidemill.toml`.
    #[must_use]
    pub fn with_grants(mut self, reads: &[&str], writes: &[&str]) -> Self {
        self.reads.extend(reads.iter().map(|pattern| (*pattern).to_owned()));
        self.writes.extend(writes.iter().map(|pattern| (*pattern).to_owned()));
        self
    }

    /// With another clock, seed, run key or resource.
    #[must_use]
    pub fn with_context(mut self, context: RunContext) -> Self {
        self.context = context;
        self
    }

    /// Runs a stage for the object with this key, which must be there. `config` is what `tidemill.toml` would say.
    ///
    /// # Errors
    /// Those of the stage; `Config` if `config` does not configure it; `NotFound` if there is no such object.
    pub fn run<S: Stage>(&self, key: &str, config: &serde_json::Value) -> Result<Outcome> {
        let bytes = self.object(key).ok_or_else(|| not_found(key))?;
        let config = S::parse_config(config).map_err(|e| Error::config(format!("this does not configure `{}`: {e}", S::NAME)))?;
        key.clone_into(&mut self.trigger.lock().unwrap_or_else(PoisonError::into_inner));
        let trigger = Trigger {
            key: key.to_owned(),
            digest: Digest::sha256(&bytes),
        };
        S::run(&trigger, config, self)
    }

    /// An object's bytes.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.store().get(key).cloned()
    }

    /// All keys, ascending.
    pub fn keys(&self) -> Vec<String> {
        self.store().keys().cloned().collect()
    }

    fn store(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_readable(&self, key: &str) -> Result<()> {
        let is_trigger = *self.trigger.lock().unwrap_or_else(PoisonError::into_inner) == key;
        let granted = is_trigger || self.reads.iter().chain(&self.writes).any(|pattern| matches(pattern, key));
        granted.then_some(()).ok_or_else(|| denied("read", key, &self.reads))
    }

    fn put(&self, key: &str, bytes: &[u8], may: impl FnOnce(Option<&Vec<u8>>) -> bool) -> Result<PutResult> {
        if !self.writes.iter().any(|pattern| matches(pattern, key)) {
            return Err(denied("write", key, &self.writes));
        }
        let mut store = self.store();
        let there = store.get(key);
        if there.is_some_and(|there| there == bytes) {
            return Ok(PutResult::Unchanged);
        }
        if !may(there) {
            return Ok(PutResult::Conflict);
        }
        store.insert(key.to_owned(), bytes.to_vec());
        Ok(PutResult::Written)
    }
}

fn not_found(key: &str) -> Error {
    Error::not_found(format!("there is no object `{key}`"))
}

fn denied(doing: &str, key: &str, granted: &[String]) -> Error {
    Error::denied(format!(
        "the stage may not {doing} `{key}`: it is granted `{}`",
        granted.join("`, `")
    ))
}

impl Host for TestHost {
    fn context(&self) -> &RunContext {
        &self.context
    }
    fn objects(&self) -> &dyn Objects {
        self
    }
    fn sql(&self) -> &dyn Sql {
        self
    }
    fn report_progress(&self, _: f64, _: &str) {}
    fn log(&self, _: Level, _: &str) {}
    fn fetch(&self, url: &str, _: &[(String, String)]) -> Result<FetchResponse> {
        Err(Error::denied(format!("there is no network here to fetch `{url}` from")))
    }
}

impl Objects for TestHost {
    fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.check_readable(key)?;
        self.object(key).ok_or_else(|| not_found(key))
    }
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Vec<u8>> {
        let bytes = self.get(key)?.into_iter().skip(usize::try_from(offset).unwrap_or(usize::MAX));
        Ok(bytes.take(usize::try_from(length).unwrap_or(usize::MAX)).collect())
    }
    fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.check_readable(key)?;
        let size = self.object(key).map(|bytes| bytes.len() as u64);
        Ok(size.map(|size| ObjectMeta { key: key.to_owned(), size }))
    }
    fn create(&self, key: &str, bytes: &[u8]) -> Result<PutResult> {
        self.put(key, bytes, |there| there.is_none())
    }
    fn swap(&self, key: &str, expected: Option<&Digest>, bytes: &[u8]) -> Result<PutResult> {
        self.put(key, bytes, |there| there.map(|there| Digest::sha256(there)).as_ref() == expected)
    }
    fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<ObjectMeta>> {
        // Near enough to the host's rule for a test: a key below the prefix must be readable.
        self.check_readable(&format!("{prefix}x"))?;
        let store = self.store();
        let below = store
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        let meta = |(key, bytes): (&String, &Vec<u8>)| ObjectMeta {
            key: key.clone(),
            size: bytes.len() as u64,
        };
        Ok(below.take(limit as usize).map(meta).collect())
    }
}

impl Sql for TestHost {
    fn query<'a>(&'a self, _: &str, _: &[Table]) -> Result<Batches<'a>> {
        Err(no_sql())
    }
    fn export(&self, _: &str, _: &[Table], _: &str) -> Result<ExportedFile> {
        Err(no_sql())
    }
}

fn no_sql() -> Error {
    Error::config("a host in memory has no SQL; test this over `tidemill_host::RunHost`")
}

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;

    #[test]
    fn grants_and_conditions_hold() {
        let twin = TestHost::default()
            .with_object("a/1", b"one")
            .with_object("b/1", b"two")
            .with_grants(&["a/**"], &["c/**"]);
        assert_eq!(twin.get("a/1").unwrap(), b"one");
        assert_eq!(twin.get_range("a/1", 1, 9).unwrap(), b"ne");
        assert_eq!(twin.get("b/1").unwrap_err().kind, ErrorKind::Denied);
        assert_eq!(twin.get("a/2").unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(twin.create("a/2", b"").unwrap_err().kind, ErrorKind::Denied);
        assert_eq!(twin.list("a/", None, 9).unwrap().len(), 1);
        assert!(twin.list("b/", None, 9).is_err());
        assert_eq!(twin.create("c/1", b"x").unwrap(), PutResult::Written);
        assert_eq!(twin.create("c/1", b"x").unwrap(), PutResult::Unchanged);
        assert_eq!(twin.create("c/1", b"y").unwrap(), PutResult::Conflict);
        assert_eq!(twin.swap("c/1", Some(&Digest::sha256(b"x")), b"y").unwrap(), PutResult::Written);
        assert_eq!(twin.swap("c/1", None, b"z").unwrap(), PutResult::Conflict);
    }
}
