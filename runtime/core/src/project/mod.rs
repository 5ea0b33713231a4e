//! `tidemill.toml`: read once, checked whole, and from then on always valid.
//!
//! Every error carries the line and the column of the user's file, also in contract files: nothing is serialised again between reading and
//! checking.

mod check;
mod resolve;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, de::DeserializeOwned};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{Error, Result, pipeline::Pipeline};

/// The file that makes a folder a project.
pub const PROJECT_FILE: &str = "tidemill.toml";

/// A checked project.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// What runs.
    pub pipeline: Pipeline,
    /// Where its state is.
    pub store: StoreSettings,
    /// Where its metrics are pushed.
    pub observe: ObserveSettings,
    /// How it is served over HTTP.
    pub serve: ServerSettings,
    /// The files that it names.
    pub sources: SourceFiles,
}

/// The files that `tidemill.toml` names, by their paths from the project's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceFiles {
    /// The contract of each dataset.
    pub contracts: BTreeMap<String, String>,
    /// The SQL of each table of features.
    pub queries: BTreeMap<String, String>,
}

/// `[store]`: where the project's state is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct StoreSettings {
    /// A path from the project's folder, or `s3://bucket/prefix`.
    pub path: Option<String>,
    /// The URL of an SQS queue that receives the bucket's notifications.
    pub queue: Option<String>,
    /// Seconds between two listings of the prefixes where objects appear.
    pub poll_seconds: Option<u64>,
}

/// `[observe]`: where metrics and spans are pushed. `GET /metrics` answers in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ObserveSettings {
    /// The base URL of an OpenTelemetry collector that takes OTLP over HTTP, such as `http://collector:4318`.
    pub otlp: Option<String>,
    /// Seconds between two pushes.
    pub interval_seconds: Option<u64>,
}

/// `[serve]`: the HTTP server of `tidemill up`. Its other limits are fixed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ServerSettings {
    /// Names under which it is asked, beside its address: `ml.example.org`, or with a port. Also the hosts whose pages may send requests.
    pub hosts: Vec<String>,
    /// How long a connection is kept without a request.
    pub idle_seconds: Option<u64>,
    /// Open connections.
    pub maximum_connections: Option<usize>,
    /// From the signal to stop, when it says that it is not ready, to the last connection that it accepts: as long as a balancer takes to
    /// send requests elsewhere.
    pub stop_delay_seconds: Option<u64>,
}

impl Project {
    /// Reads and checks the text of `tidemill.toml`. `read` returns the text of a file that it names, by its path from the project's
    /// folder.
    ///
    /// # Errors
    /// `Config`, with the line and the column.
    ///
    /// ```
    /// use tidemill_core::{Error, project::Project};
    ///
    /// let toml = r#"
    /// [project]
    /// name = "copy"
    ///
    /// [[stage]]
    /// name = "copy"
    /// component = "copy.wasm"
    /// on = "drop/**"
    /// writes = ["copies/**"]
    ///
    /// [store]
    /// path = "s3://tide/mill"
    /// "#;
    /// let project = Project::parse(toml, &|path| Err(Error::not_found(format!("there is no file `{path}`"))))?;
    /// assert_eq!(project.pipeline.nodes[0].id(), "copy:copy");
    /// assert_eq!(project.store.path.as_deref(), Some("s3://tide/mill"));
    ///
    /// let error = Project::parse(&toml.replace("component", "komponent"), &|_| Ok(String::new())).unwrap_err();
    /// assert!(error.message.starts_with("tidemill.toml:7:1: unknown field `komponent`"), "{error}");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn parse(text: &str, read: &dyn Fn(&str) -> Result<String>) -> Result<Self> {
        let source = Source::parse(PROJECT_FILE, text)?;
        let project = resolve::resolve(&source, read)?;
        check::check(&project.pipeline, &source)?;
        Ok(project)
    }
}

/// A TOML file and the places of its values, for errors that say where.
struct Source<'a> {
    file: &'a str,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

impl<'a> Source<'a> {
    fn parse(file: &'a str, text: &'a str) -> Result<Self> {
        let root = DeTable::parse(text).map_err(|error| invalid(file, text, &error))?;
        Ok(Self { file, text, root })
    }

    fn deserialize<T: DeserializeOwned>(&self) -> Result<T> {
        let deserializer = toml::de::Deserializer::from(self.root.clone());
        T::deserialize(deserializer).map_err(|error| invalid(self.file, self.text, &error))
    }

    /// A `Config` error at a field of the last `[[stage]]` with this name.
    fn stage_error(&self, name: &str, field: &str, message: impl std::fmt::Display) -> Error {
        let stages = self.root.get_ref().get("stage").and_then(|stages| stages.get_ref().as_array());
        let is_named = |stage: &Spanned<DeValue<'_>>| stage.get_ref().get("name").and_then(|name| name.get_ref().as_str()) == Some(name);
        let index = stages.and_then(|stages| stages.iter().rposition(is_named)).unwrap_or_default();
        self.error(&["stage", &index.to_string(), field], message)
    }

    /// A `Config` error at the value with this path: names of keys, and positions in lists. What is not in the file, such as a default, is
    /// reported at what holds it.
    fn error(&self, path: &[&str], message: impl std::fmt::Display) -> Error {
        Error::config(annotate(self.file, self.text, self.find(path), &message.to_string()))
    }

    /// Like [`error`](Self::error), for a line that may hold a secret: its place, and not its text.
    fn error_without_line(&self, path: &[&str], message: impl std::fmt::Display) -> Error {
        let annotated = self.error(path, message).message;
        Error::config(annotated.lines().next().unwrap_or_default())
    }

    /// Where the longest known part of the path is.
    fn find(&self, path: &[&str]) -> Range<usize> {
        let mut table = Some(self.root.get_ref());
        let mut value: Option<&Spanned<DeValue<'_>>> = None;
        let mut span = 0..0;
        for name in path {
            let next = match (table, value.map(Spanned::get_ref)) {
                (Some(table), _) => table.get_key_value(*name).map(|(key, value)| (key.span(), value)),
                (None, Some(DeValue::Array(list))) => {
                    let item = name.parse::<usize>().ok().and_then(|index| list.get(index));
                    item.map(|item| (item.span(), item))
                }
                _ => None,
            };
            let Some((at, found)) = next else { return span };
            // A table is pointed at by its name, a value as a whole.
            span = if found.get_ref().is_table() { at } else { found.span() };
            table = found.get_ref().as_table();
            value = Some(found);
        }
        span
    }
}

/// A file that is not TOML, or not of the right shape.
fn invalid(file: &str, text: &str, error: &toml::de::Error) -> Error {
    let span = error.span().unwrap_or(0..0);
    Error::config(annotate(file, text, span, error.message()))
}

/// A message about a place in a file: `<file>:<line>:<column>: <message>`, and the line with the place marked. `span` is in bytes of `text`.
///
/// ```
/// let text = "SELECT id\nFORM readings";
/// let message = tidemill_core::project::annotate("features/a.sql", text, 10..14, "syntax error");
/// assert_eq!(message, "features/a.sql:2:1: syntax error\n  |\n2 | FORM readings\n  | ^^^^");
/// ```
pub fn annotate(file: &str, text: &str, span: Range<usize>, message: &str) -> String {
    let start = span.start.min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let number = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count();
    let line = text[line_start..].lines().next().unwrap_or_default();
    let marked = text.get(start..span.end.min(line_start + line.len())).unwrap_or_default();
    let (gutter, number) = (" ".repeat(number.to_string().len()), number);
    format!(
        "{file}:{number}:{}: {message}\n{gutter} |\n{number} | {line}\n{gutter} | {}{}",
        column + 1,
        " ".repeat(column),
        "^".repeat(marked.chars().count().max(1))
    )
}
