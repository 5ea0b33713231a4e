//! A dataset and its contract.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Severity, secret::SecretRef, text::redact_url, time::Span};

/// `[dataset.<name>]`, with its contract file loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Dataset {
    /// The dataset's name.
    pub name: String,
    /// The column that holds a row's event time.
    pub time: String,
    /// The columns that together identify a row.
    pub key: Vec<String>,
    /// The rules that rows must follow.
    pub contract: Contract,
    /// The source of data for `collect`. Not part of a stage's configuration.
    #[serde(skip)]
    pub collect: Option<Collect>,
}

/// `collect = { url = "…", every = "1 hour" }` or `{ prefix = "…" }`: the source of data for `collect`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Collect {
    /// An http or https URL.
    pub url: Option<String>,
    /// A prefix of the store.
    pub prefix: Option<String>,
    /// Headers of the request to `url`, such as `authorization`, each by the place of its value: `env:NAME` or `file:/path`. They are
    /// checked with the source, whose errors do not repeat the line: it may hold a secret.
    #[serde(default)]
    pub header: BTreeMap<String, String>,
    /// How often `collect` runs.
    pub every: Option<Span>,
}

/// The one source of a [`Collect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectSource<'a> {
    /// Fetched over HTTP.
    Url {
        /// The whole URL.
        url: &'a str,
        /// The URL's host, with the port if there is one.
        host: &'a str,
    },
    /// Copied from the store.
    Prefix(&'a str),
}

impl Collect {
    /// Returns the source, or the reason why the table is invalid.
    pub fn source(&self) -> Result<CollectSource<'_>, String> {
        self.check_headers()?;
        match (&self.url, &self.prefix) {
            (Some(url), None) => {
                let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
                let host = rest
                    .and_then(|rest| rest.split(['/', '?', '#']).next())
                    .filter(|host| !host.is_empty());
                let host = host.ok_or_else(|| format!("`{}` is not an http or https URL", redact_url(url)))?;
                if host.contains('@') {
                    return Err(format!(
                        "`{}` has a name and a password, which would be in the store: take them out, and send them by \
                         `header = {{ authorization = \"env:NAME\" }}`",
                        redact_url(url)
                    ));
                }
                Ok(CollectSource::Url { url, host })
            }
            (None, Some(prefix)) => Ok(CollectSource::Prefix(prefix)),
            _ => Err("it needs exactly one of `url` and `prefix`".to_owned()),
        }
    }
}

/// Headers that are the client's own, or the connection's.
const FIXED_HEADERS: [&str; 7] = [
    "accept",
    "connection",
    "content-length",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
];

impl Collect {
    fn check_headers(&self) -> Result<(), String> {
        let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        for (name, value) in &self.header {
            if !is_name(name) || FIXED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(format!(
                    "`header` cannot set `{name}`: name another one, such as `authorization`, by letters, digits and `-`"
                ));
            }
            SecretRef::parse(value).map_err(|error| format!("`header`, `{name}`: {}", error.message))?;
        }
        match self.header.is_empty() || self.url.is_some() {
            true => Ok(()),
            false => Err("`header` is for `url`; a prefix of the store is read without".to_owned()),
        }
    }
}

/// The contract file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Contract {
    /// Columns by name.
    pub columns: BTreeMap<String, Column>,
    /// Whether columns that the contract does not name are refused (default) or dropped.
    #[serde(default)]
    pub allow_extra_columns: bool,
    /// Minimum number of rows in a data file; default 1.
    #[serde(default = "default_minimum_rows")]
    pub minimum_rows: u64,
    /// Maximum number of rows in a data file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_rows: Option<u64>,
    /// The largest share of rows that may go to quarantine before the whole file is rejected; default 0.2.
    #[serde(default = "default_maximum_quarantined")]
    pub maximum_quarantined: f64,
    /// Assertions in SQL.
    #[serde(default)]
    pub sql: Vec<SqlAssertion>,
}

fn default_minimum_rows() -> u64 {
    1
}
fn default_maximum_quarantined() -> f64 {
    0.2
}

/// The rules for a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Column {
    /// The column's type.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Whether values may be missing; default no.
    #[serde(default)]
    pub nullable: bool,
    /// Whether a file may lack the column, which is then all null; default no. Needs `nullable`.
    #[serde(default)]
    pub optional: bool,
    /// Smallest value (inclusive): a number, or a timestamp as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<ContractValue>,
    /// Greatest value (inclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<ContractValue>,
    /// The allowed values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<ContractValue>>,
    /// A regular expression that the whole text must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Whether every value must be distinct within a data file.
    #[serde(default)]
    pub unique: bool,
    /// `error` (default) sends bad rows to quarantine; `warning` only reports them.
    #[serde(default = "default_severity")]
    pub severity: Severity,
    /// Tolerance: the column's checks pass when this share of the non-null values passes; default 1. When a check passes, rows that fail it
    /// are kept.
    #[serde(default = "default_mostly")]
    pub mostly: f64,
}

fn default_severity() -> Severity {
    Severity::Error
}
fn default_mostly() -> f64 {
    1.0
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnType {
    /// 64-bit integer.
    Integer,
    /// 64-bit float.
    Number,
    /// UTF-8 text.
    Text,
    /// True or false.
    Boolean,
    /// Microseconds, UTC. As text: a date, or a date and a time, which is UTC unless it has an offset (`2013-05-01T12:00:00+02:00`).
    Timestamp,
}

impl ColumnType {
    /// DuckDB's name for the type.
    pub fn sql_type(self) -> &'static str {
        match self {
            Self::Integer => "BIGINT",
            Self::Number => "DOUBLE",
            Self::Text => "VARCHAR",
            Self::Boolean => "BOOLEAN",
            Self::Timestamp => "TIMESTAMP",
        }
    }
}

/// A value in a contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ContractValue {
    /// `true` or `false`.
    Boolean(bool),
    /// A number without a fraction or exponent.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A text; for a timestamp column, a time.
    Text(String),
}

/// `[[sql]]`: a condition on each row, or on all rows of a data file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SqlAssertion {
    /// Name of the assertion in messages.
    pub name: String,
    /// The condition that must hold.
    #[serde(flatten)]
    pub assertion: Assertion,
    /// `error` (default) or `warning`.
    #[serde(default = "default_severity")]
    pub severity: Severity,
}

/// The condition that must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assertion {
    /// An SQL expression over one row's columns; rows where it is false go to quarantine (null passes).
    Row(String),
    /// An SQL expression of aggregates over all rows of a data file; false rejects the file.
    Table(String),
}
