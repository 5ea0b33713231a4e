//! Copies files into `raw/<dataset>/` on a schedule, from a URL or from another prefix of the store.
//!
//! - *Reads* the scheduled event that triggers it (`schedules/collect/<dataset>/…`), and the configured URL or prefix.
//! - *Writes* `raw/<dataset>/collected/<digest>.<extension>`. A file is named by its content, so an unchanged source is not written twice.
//! - *Decides* `done` with the keys that it wrote, or `skipped` if the source has nothing new. `validate` decides whether the rows are
//!   good.

mod fetch;
mod prefix;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;
use tidemill_core::{Digest, Error, Host, Outcome, PutResult, Result, Stage, Trigger, layout};

/// Configuration, from `tidemill.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The dataset's name.
    pub dataset: String,
    /// The source of the rows.
    pub source: CollectSource,
    /// Headers of the request to a URL. Their values are references, which the host replaces.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// A source of rows.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CollectSource {
    /// An HTTP address that returns a whole file.
    Url(String),
    /// A prefix whose new objects are copied.
    Prefix(String),
}

/// The stage.
#[derive(Debug)]
pub struct Collect;

impl Stage for Collect {
    const NAME: &'static str = "collect";
    type Config = Config;
    const SQL: bool = false;

    /// Collects once. The outcome's result lists the `keys` that were written.
    fn run(_: &Trigger, config: Config, host: &dyn Host) -> Result<Outcome> {
        let Config { dataset, source, headers } = config;
        let written = match &source {
            CollectSource::Url(url) => fetch::collect_url(&dataset, url, headers, host)?,
            CollectSource::Prefix(prefix) => prefix::collect_prefix(&dataset, prefix, host)?,
        };
        if written.is_empty() {
            return Ok(Outcome::skipped("the source has nothing new"));
        }
        Ok(Outcome::done(
            format!("{} new files", written.len()),
            &serde_json::json!({ "keys": written }),
        ))
    }
}

/// Writes a file under a name made from its content; returns the key unless the file existed already.
fn write_once(dataset: &str, ending: &str, bytes: &[u8], host: &dyn Host) -> Result<Option<String>> {
    let key = layout::collected(dataset, &Digest::sha256(bytes), ending);
    match host.objects().create(&key, bytes)? {
        PutResult::Written => Ok(Some(key)),
        PutResult::Unchanged => Ok(None),
        PutResult::Conflict => Err(Error::conflict(format!(
            "`{key}` exists with other content; it is named by its content and must not be changed"
        ))),
    }
}

tidemill_sdk::export!(Collect);
