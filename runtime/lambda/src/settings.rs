//! Which node of the pipeline this function is, and where the store is. The environment is read here and nowhere else.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tidemill_core::{Error, Result};
use tidemill_host::log::LoggedModel;

/// A function's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// From `TIDEMILL_STORE`: a folder.
    pub store: PathBuf,
    /// From `TIDEMILL_CONFIG`: JSON, or the path of a JSON file.
    pub node: NodeSettings,
}

/// The node, as far as a function needs it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NodeSettings {
    /// The dataset or model that the stage is about.
    pub subject: String,
    /// The stage's resolved configuration.
    pub config: Value,
    /// Patterns of keys that it may read.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Patterns of keys that it may write.
    #[serde(default)]
    pub writes: Vec<String>,
    /// Hosts that it may fetch from.
    #[serde(default)]
    pub fetch: Vec<String>,
    /// For everything random.
    #[serde(default)]
    pub seed: u64,
}

impl Settings {
    /// Reads `TIDEMILL_STORE` and `TIDEMILL_CONFIG`.
    pub fn from_environment() -> Result<Self> {
        Self::new(
            std::env::var("TIDEMILL_STORE").ok().as_deref(),
            std::env::var("TIDEMILL_CONFIG").ok().as_deref(),
        )
    }

    fn new(store: Option<&str>, config: Option<&str>) -> Result<Self> {
        let fields = "the node as JSON (`subject`, `config`, `reads`, `writes`, `fetch`, `seed`)";
        Ok(Self {
            store: folder(store)?,
            node: described(config, "a node", fields)?,
        })
    }
}

/// What a function that serves predictions is told.
#[derive(Debug, Clone)]
pub struct ServeSettings {
    /// From `TIDEMILL_STORE`: a folder.
    pub store: PathBuf,
    /// From `TIDEMILL_CONFIG`: JSON, or the path of a JSON file.
    pub serving: Serving,
}

/// What is served, as far as a function needs it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Serving {
    /// How each model's predictions are filed: the monitor's window, and the column that holds the event time.
    pub models: BTreeMap<String, LoggedModel>,
}

impl ServeSettings {
    /// Reads `TIDEMILL_STORE` and `TIDEMILL_CONFIG`.
    pub fn from_environment() -> Result<Self> {
        Self::new(
            std::env::var("TIDEMILL_STORE").ok().as_deref(),
            std::env::var("TIDEMILL_CONFIG").ok().as_deref(),
        )
    }

    fn new(store: Option<&str>, config: Option<&str>) -> Result<Self> {
        let fields = "the models as JSON (`{\"models\": {\"<model>\": {\"window\": \"1 day\", \"time\": \"<column>\"}}}`)";
        Ok(Self {
            store: folder(store)?,
            serving: described(config, "what is served", fields)?,
        })
    }
}

fn folder(store: Option<&str>) -> Result<PathBuf> {
    let store = store.ok_or_else(|| Error::config("`TIDEMILL_STORE` is not set: give the store's folder"))?;
    if let Some((scheme, _)) = store.split_once("://") {
        return Err(Error::config(format!(
            "`TIDEMILL_STORE` is `{store}`, and stores over `{scheme}://` are not built yet: give the path of a folder"
        )));
    }
    Ok(PathBuf::from(store))
}

/// `TIDEMILL_CONFIG`, which describes `what` by `fields`.
fn described<T: DeserializeOwned>(config: Option<&str>, what: &str, fields: &str) -> Result<T> {
    let config = config.ok_or_else(|| {
        Error::config(format!(
            "`TIDEMILL_CONFIG` is not set: give {fields}, or the path of a file with it"
        ))
    })?;
    if config.trim_start().starts_with('{') {
        return serde_json::from_str(config).map_err(|e| Error::config(format!("`TIDEMILL_CONFIG` does not describe {what}: {e}")));
    }
    let text = std::fs::read_to_string(Path::new(config))
        .map_err(|e| Error::config(format!("`TIDEMILL_CONFIG` names the file `{config}`, which cannot be read: {e}")))?;
    serde_json::from_str(&text).map_err(|e| Error::config(format!("`{config}` does not describe {what}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        let message = |store, config| Settings::new(store, config).unwrap_err().message;
        assert!(message(None, None).contains("`TIDEMILL_STORE` is not set"));
        assert!(message(Some("s3://bucket"), Some("{}")).contains("`s3://`"));
        assert!(message(Some("/store"), None).contains("`TIDEMILL_CONFIG` is not set"));
        assert!(message(Some("/store"), Some("{}")).contains("subject"));
        assert!(message(Some("/store"), Some("/nowhere.json")).contains("`/nowhere.json`"));
        let settings = Settings::new(Some("/store"), Some(r#"{"subject":"d","config":{"a":1},"seed":7}"#)).unwrap();
        assert_eq!((settings.node.seed, settings.node.subject.as_str()), (7, "d"));
    }

    #[test]
    fn what_is_served() {
        let message = |config| ServeSettings::new(Some("/store"), config).unwrap_err().message;
        assert!(message(None).contains("`{\"models\": {\"<model>\""));
        assert!(message(Some(r#"{"models":{"late":{"window":"1 moon","time":"at"}}}"#)).contains("`1 moon` is not a span"));
        assert!(message(Some(r#"{"models":{"late":{"window":"1 month"}}}"#)).contains("`time`"));
        let settings = ServeSettings::new(Some("/store"), Some(r#"{"models":{"late":{"window":"1 month","time":"at"}}}"#)).unwrap();
        assert_eq!(settings.serving.models["late"].time, "at");
    }
}
