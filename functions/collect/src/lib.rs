//! Brings rows into `raw/<dataset>/`, on a schedule: from a URL, or from another prefix of the store.
//!
//! What it writes is named by its content, so that a source which has not changed is not written twice.

mod fetch;
mod prefix;
pub mod rows;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use tidemill_core::{Digest, Error, Host, Outcome, PutResult, Result, Stage, Trigger};

/// What it is told by `tidemill.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The dataset's name.
    pub dataset: String,
    /// Where the rows come from.
    pub source: CollectSource,
}

/// Where rows come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CollectSource {
    /// An HTTP address that answers with a whole file.
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

    /// Triggered by a tick (`schedules/collect/<dataset>/…`); its facts list the `keys` that it wrote.
    fn run(_: &Trigger, Config { dataset, source }: Config, host: &dyn Host) -> Result<Outcome> {
        let written = match &source {
            CollectSource::Url(url) => fetch::collect_url(&dataset, url, host)?,
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

/// Writes a file under its content's name; `None` if it is there already.
fn write_once(dataset: &str, ending: &str, bytes: &[u8], host: &dyn Host) -> Result<Option<String>> {
    let key = format!("raw/{dataset}/collected/{}.{ending}", Digest::sha256(bytes).short());
    match host.objects().create(&key, bytes)? {
        PutResult::Written => Ok(Some(key)),
        PutResult::Unchanged => Ok(None),
        PutResult::Conflict => Err(Error::input(format!(
            "`{key}` exists with other content; it is named by its content and must not be changed"
        ))),
    }
}

tidemill_sdk::export!(Collect);
