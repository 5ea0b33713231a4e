//! `tidemill.toml`: read once, checked whole, and from then on always valid.
//!
//! Every error carries the line and the column of the user's file, also in contract files: nothing is serialised again between reading and
//! checking.

mod check;
mod raw;
mod resolve;
mod source;
#[cfg(test)]
mod tests;

use serde::Deserialize;

use crate::{Result, pipeline::Pipeline};

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
        let source = source::Source::parse(PROJECT_FILE, text)?;
        let raw: raw::RawProject = source.deserialize()?;
        let project = resolve::resolve(raw, &source, read)?;
        check::check(&project.pipeline, &source)?;
        Ok(project)
    }
}
