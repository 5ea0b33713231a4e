//! A stage and its host interface.
//!
//! The same source builds as a component and as a Lambda handler, because a stage has access to nothing but this interface: no clock, no
//! environment, no network, no files.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Digest, Error, ErrorKind, Outcome, Result};

/// A step in a model's life cycle: a function from a trigger and a configuration to an outcome.
pub trait Stage {
    /// The stage's name: `validate`.
    const NAME: &'static str;
    /// The resolved configuration, from `tidemill.toml`.
    type Config: DeserializeOwned;
    /// Whether the stage uses SQL. The component of a stage without SQL does not import it, and therefore also runs on Spin, which has no
    /// SQL.
    const SQL: bool = true;

    /// Parses the configuration from JSON. A stage whose `Config` is `()` accepts an empty object.
    ///
    /// # Errors
    /// Serde's errors, which name the field.
    fn parse_config(config: &serde_json::Value) -> serde_json::Result<Self::Config> {
        let is_empty = config.as_object().is_some_and(serde_json::Map::is_empty);
        match Self::Config::deserialize(config) {
            Err(_) if is_empty && size_of::<Self::Config>() == 0 => Self::Config::deserialize(serde_json::Value::Null),
            other => other,
        }
    }

    /// Runs the stage. Called once for each trigger, and possibly again after a crash: the stage must write only under its run key, or
    /// create-only, or by compare-and-swap.
    fn run(trigger: &Trigger, config: Self::Config, host: &dyn Host) -> Result<Outcome>;
}

/// The object that caused a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trigger {
    /// Key of the object. A stage may always read its trigger.
    pub key: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// The values that are fixed for a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunContext {
    /// The stage's clock, which comes from the data.
    pub as_of: Timestamp,
    /// The seed for everything random.
    pub seed: u64,
    /// 32 hex digits that identify the run and name the folder of its outputs.
    pub run_key: String,
    /// The dataset or model that the run is about.
    pub resource: String,
}

/// The interface through which a stage accesses everything outside it.
pub trait Host {
    /// The values that are fixed for this run.
    fn context(&self) -> &RunContext;
    /// The object store, limited to the stage's grants.
    fn objects(&self) -> &dyn Objects;
    /// SQL over granted objects.
    fn sql(&self) -> &dyn Sql;
    /// Reports progress to the waiting user; `fraction` is 0 to 1.
    fn report_progress(&self, fraction: f64, message: &str);
    /// Writes a line to the log, which is never part of the result.
    fn log(&self, level: Level, message: &str);
    /// Sends an HTTP GET to a granted host.
    fn fetch(&self, url: &str, headers: &[(String, String)]) -> Result<FetchResponse>;
}

/// The level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For developers of the stage.
    Debug,
    /// For information.
    Info,
    /// Needs attention.
    Warning,
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// An object's key and size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectMeta {
    /// Key from the root of the store.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
}

/// The result of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutResult {
    /// The bytes were written.
    Written,
    /// The object already had the same bytes.
    Unchanged,
    /// The object has other bytes; nothing was written.
    Conflict,
}

/// The object store, limited to the stage's grants. Every method returns `Denied` outside them.
pub trait Objects {
    /// Returns an object's bytes; `NotFound` if it does not exist.
    fn get(&self, key: &str) -> Result<Vec<u8>>;
    /// Like [`get`](Self::get); `Limit` if the object has more than `limit` bytes. A store that knows its size before reads nothing then.
    fn get_at_most(&self, key: &str, limit: u64) -> Result<Vec<u8>> {
        let bytes = self.get(key)?;
        match bytes.len() as u64 {
            size if size > limit => Err(Error::limit(format!(
                "`{key}` has {size} bytes, and at most {limit} are read here in one piece"
            ))),
            _ => Ok(bytes),
        }
    }
    /// Returns `length` bytes from `offset`; fewer at the end of the object.
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Vec<u8>>;
    /// Returns an object's size, or `None` if it does not exist.
    fn head(&self, key: &str) -> Result<Option<ObjectMeta>>;
    /// Returns the SHA-256 of an object's bytes; `NotFound` if it does not exist. A store that can read in pieces does so.
    fn digest(&self, key: &str) -> Result<Digest> {
        self.get(key).map(|bytes| Digest::sha256(&bytes))
    }
    /// Writes an object where none exists.
    fn create(&self, key: &str, bytes: &[u8]) -> Result<PutResult>;
    /// Replaces exactly the bytes whose SHA-256 is `expected`; with `None`, the object must not exist.
    fn swap(&self, key: &str, expected: Option<&Digest>, bytes: &[u8]) -> Result<PutResult>;
    /// Lists up to `limit` keys under `prefix` (which ends in `/`), ascending, after `after`.
    fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<ObjectMeta>>;
}

/// Convenience methods over [`Objects`].
pub trait ObjectsExt: Objects {
    /// Lists all keys under `prefix`, ascending.
    fn list_all(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let mut all: Vec<ObjectMeta> = Vec::new();
        loop {
            let page = self.list(prefix, all.last().map(|m| m.key.as_str()), 1000)?;
            let last = page.len() < 1000;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }
    /// Reads an object that holds JSON; the error names the object.
    fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        serde_json::from_slice(&self.get(key)?).map_err(|e| Error::input(format!("`{key}` is not what it should be: {e}")))
    }
    /// Like [`get_json`](Self::get_json), but returns `None` if the object does not exist.
    fn find_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        match self.get_json(key) {
            Err(e) if e.kind == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }
    /// Writes JSON (pretty, with a trailing newline) where no object exists; writing the same bytes again succeeds. Returns their digest.
    fn create_json(&self, key: &str, value: &impl Serialize) -> Result<Digest> {
        let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| Error::bug(format!("`{key}` cannot be written as JSON: {e}")))?;
        bytes.push(b'\n');
        self.create_immutable(key, &bytes)
    }
    /// Writes bytes where no object exists. Writing the same bytes again succeeds; other bytes are an error. Returns their digest.
    fn create_immutable(&self, key: &str, bytes: &[u8]) -> Result<Digest> {
        match self.create(key, bytes)? {
            PutResult::Written | PutResult::Unchanged => Ok(Digest::sha256(bytes)),
            PutResult::Conflict => Err(Error::conflict(format!(
                "`{key}` exists with other content; it is written once and never changed"
            ))),
        }
    }
}

impl<T: Objects + ?Sized> ObjectsExt for T {}

/// The format of a table's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Typed columns.
    Parquet,
    /// Every column as text. Lines that are not CSV go to the table `<name>__rejects(line, reason, raw)`.
    Csv,
    /// One object per line; every column as text, except lists and objects, which are DuckDB lists and structs.
    JsonLines,
}

impl Format {
    /// The format for a key's extension: `.csv`, `.jsonl` or `.ndjson`, `.parquet`.
    pub fn from_key(key: &str) -> Option<Self> {
        let ending = key.rsplit('.').next()?;
        match ending.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// A table name and the objects that hold its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The table's name in the SQL.
    pub name: String,
    /// Objects of one schema; their rows follow in this order.
    pub keys: Vec<String>,
    /// The format of all objects.
    pub format: Format,
}

impl Table {
    /// A table of Parquet objects.
    pub fn parquet(name: &str, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            name: name.to_owned(),
            keys: keys.into_iter().map(Into::into).collect(),
            format: Format::Parquet,
        }
    }
}

/// A query result: Arrow IPC streams in order, each with its schema.
pub type Batches<'a> = Box<dyn Iterator<Item = Result<Vec<u8>>> + 'a>;

/// The result of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedFile {
    /// Number of rows in the file.
    pub rows: u64,
    /// Size of the file in bytes.
    pub size: u64,
    /// SHA-256 of the file's bytes.
    pub digest: Digest,
}

/// SQL over granted objects, one SELECT at a time. Without `ORDER BY`, rows come in the order of the objects and of the rows within them.
pub trait Sql {
    /// Runs a SELECT and returns the rows.
    fn query<'a>(&'a self, sql: &str, tables: &[Table]) -> Result<Batches<'a>>;
    /// Runs a SELECT and writes the rows as Parquet to `key`, create-only; the bytes stay in the host.
    fn export(&self, sql: &str, tables: &[Table], key: &str) -> Result<ExportedFile>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        rounds: u32,
    }

    struct Grow;
    impl Stage for Grow {
        const NAME: &'static str = "grow";
        type Config = Config;
        fn run(_: &Trigger, _: Config, _: &dyn Host) -> Result<Outcome> {
            Ok(Outcome::skipped("nothing"))
        }
    }

    struct Plain;
    impl Stage for Plain {
        const NAME: &'static str = "plain";
        type Config = ();
        fn run(_: &Trigger, (): (), _: &dyn Host) -> Result<Outcome> {
            Ok(Outcome::skipped("nothing"))
        }
    }

    #[test]
    fn an_error_names_the_field() {
        let parse = |config: serde_json::Value| Grow::parse_config(&config);
        assert_eq!(parse(serde_json::json!({ "rounds": 3 })).unwrap().rounds, 3);
        for (config, field) in [(serde_json::json!({ "round": 3 }), "`round`"), (serde_json::json!({}), "`rounds`")] {
            let error = parse(config).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }

    #[test]
    fn no_configuration_is_an_empty_object_or_null() {
        let parse = |config: serde_json::Value| Plain::parse_config(&config);
        parse(serde_json::json!({})).unwrap();
        parse(serde_json::Value::Null).unwrap();
        parse(serde_json::json!({ "x": 1 })).unwrap_err();
    }
}
