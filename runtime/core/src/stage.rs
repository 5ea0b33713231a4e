//! A stage, and the host that it runs over. The same source becomes a component and a Lambda handler because
//! a stage sees nothing but this interface: no clock, no environment, no network, no file.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Digest, Error, ErrorKind, Outcome, Result};

/// One step of a model's life: a function from a trigger and a configuration to an outcome.
pub trait Stage {
    /// The stage's name: `validate`.
    const NAME: &'static str;
    /// Its resolved configuration, from `tidemill.toml`.
    type Config: DeserializeOwned;
    /// Whether it asks SQL. The component of a stage that does not imports none, and so runs on Spin too, where there is none.
    const SQL: bool = true;

    /// Reads the configuration from JSON. A stage whose `Config` is `()` accepts an empty object.
    ///
    /// # Errors
    /// Those of serde, which name the field.
    fn parse_config(config: &serde_json::Value) -> serde_json::Result<Self::Config> {
        let is_empty = config.as_object().is_some_and(serde_json::Map::is_empty);
        match Self::Config::deserialize(config) {
            Err(_) if is_empty && size_of::<Self::Config>() == 0 => Self::Config::deserialize(serde_json::Value::Null),
            other => other,
        }
    }

    /// Called once for each trigger, possibly again after a crash: it must write only under its run key,
    /// or create-only, or by compare-and-swap.
    fn run(trigger: &Trigger, config: Self::Config, host: &dyn Host) -> Result<Outcome>;
}

/// The object that caused a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trigger {
    /// Where it is. A stage may always read its trigger.
    pub key: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// What is fixed for a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunContext {
    /// The stage's clock: it comes from the data.
    pub as_of: Timestamp,
    /// For everything random.
    pub seed: u64,
    /// 32 hex digits: names the run and the folder of its outputs.
    pub run_key: String,
    /// The dataset or model that the run is about.
    pub resource: String,
}

/// What a stage may use.
pub trait Host {
    /// What is fixed for this run.
    fn context(&self) -> &RunContext;
    /// The object store, as far as granted.
    fn objects(&self) -> &dyn Objects;
    /// SQL over granted objects.
    fn sql(&self) -> &dyn Sql;
    /// Tells the person who waits; `fraction` is 0 to 1.
    fn report_progress(&self, fraction: f64, message: &str);
    /// A line for the log; never part of the result.
    fn log(&self, level: Level, message: &str);
    /// HTTP GET, to granted hosts.
    fn fetch(&self, url: &str, headers: &[(String, String)]) -> Result<FetchResponse>;
}

/// A log line's weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For whoever works on the stage.
    Debug,
    /// What a person may want to know.
    Info,
    /// What a person should look at.
    Warning,
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchResponse {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// An object's key and size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectMeta {
    /// From the store's root.
    pub key: String,
    /// Bytes.
    pub size: u64,
}

/// What a conditional write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutResult {
    /// Written.
    Written,
    /// The same bytes were there already.
    Unchanged,
    /// Other bytes are there; nothing was written.
    Conflict,
}

/// The object store, as far as the stage was granted it. Every method returns `Denied` where it was not.
pub trait Objects {
    /// An object's bytes; `NotFound` if it is not there.
    fn get(&self, key: &str) -> Result<Vec<u8>>;
    /// `length` bytes from `offset`; fewer at the object's end.
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Vec<u8>>;
    /// Its size, or `None` if it is not there.
    fn head(&self, key: &str) -> Result<Option<ObjectMeta>>;
    /// The SHA-256 of its bytes; `NotFound` if it is not there. A store that can reads it piece by piece.
    fn digest(&self, key: &str) -> Result<Digest> {
        self.get(key).map(|bytes| Digest::sha256(&bytes))
    }
    /// Writes where nothing is.
    fn create(&self, key: &str, bytes: &[u8]) -> Result<PutResult>;
    /// Replaces exactly the bytes whose SHA-256 is `expected`; `None` = nothing may be there.
    fn swap(&self, key: &str, expected: Option<&Digest>, bytes: &[u8]) -> Result<PutResult>;
    /// Up to `limit` keys under `prefix` (which ends in `/`), ascending, after `after`.
    fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<ObjectMeta>>;
}

/// Sugar over [`Objects`].
pub trait ObjectsExt: Objects {
    /// All keys under `prefix`, ascending.
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
    /// An object that holds JSON; the error names the object.
    fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        serde_json::from_slice(&self.get(key)?).map_err(|e| Error::input(format!("`{key}` is not what it should be: {e}")))
    }
    /// Like [`get_json`](Self::get_json), `None` if nothing is there.
    fn find_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        match self.get_json(key) {
            Err(e) if e.kind == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }
    /// Writes JSON (pretty, ending in a newline) where nothing is; the same bytes again are fine. Returns their digest.
    fn create_json(&self, key: &str, value: &impl Serialize) -> Result<Digest> {
        let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| Error::bug(format!("`{key}` cannot be written as JSON: {e}")))?;
        bytes.push(b'\n');
        self.create_immutable(key, &bytes)
    }
    /// Writes bytes where nothing is; the same bytes again are fine; others are an error. Returns their digest.
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

/// How a table's objects are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Typed columns.
    Parquet,
    /// Every column as text. Lines that are not CSV land in the table `<name>__rejects(line, reason, raw)`.
    Csv,
    /// One object a line; every column as text, but lists and objects as DuckDB's own lists and structs.
    JsonLines,
}

impl Format {
    /// From a key's ending: `.csv`, `.jsonl` or `.ndjson`, `.parquet`.
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

/// A table name and the objects that are its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// What the SQL calls it.
    pub name: String,
    /// Objects of one schema; their rows follow each other in this order.
    pub keys: Vec<String>,
    /// The format of all of them.
    pub format: Format,
}

impl Table {
    /// Parquet objects as one table.
    pub fn parquet(name: &str, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            name: name.to_owned(),
            keys: keys.into_iter().map(Into::into).collect(),
            format: Format::Parquet,
        }
    }
}

/// A result: Arrow IPC streams, each with its schema, in order.
pub type Batches<'a> = Box<dyn Iterator<Item = Result<Vec<u8>>> + 'a>;

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedFile {
    /// Rows of the file.
    pub rows: u64,
    /// Its bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// One SELECT over granted objects. Without `ORDER BY`, rows come in the order of the objects and of their rows.
pub trait Sql {
    /// Runs it and returns the rows.
    fn query<'a>(&'a self, sql: &str, tables: &[Table]) -> Result<Batches<'a>>;
    /// Runs it and writes the rows as Parquet to `key`, create-only; the bytes stay in the host.
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
