//! The environment of a function. It is read here and nowhere else.
//!
//! `TIDEMILL_CONFIG` is JSON, or the path of a JSON file in the package: Lambda allows 4 KB for all variables together, which a
//! contract may exceed.

use std::path::Path;

use serde::de::DeserializeOwned;
use tidemill_core::{
    Error, Result,
    pipeline::{
        NodeSettings,
        deployment::{CoordinatorSettings, ServingConfig},
    },
};

/// The environment of a stage's function.
#[derive(Debug, Clone)]
pub struct StageEnvironment {
    /// From `TIDEMILL_STORE`: a folder, or `s3://bucket/prefix`.
    pub store: String,
    /// From `TIDEMILL_CONFIG`.
    pub node: NodeSettings,
    /// The function's memory, from `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`.
    pub memory_bytes: u64,
}

impl StageEnvironment {
    /// Reads `TIDEMILL_STORE`, `TIDEMILL_CONFIG` and what Lambda sets.
    pub fn from_environment() -> Result<Self> {
        let fields = "the node as JSON (`stage`, `resource`, `on`, `config` and more)";
        let (store, node) = read("a node", fields)?;
        let megabytes = variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").and_then(|megabytes| megabytes.parse::<u64>().ok());
        Ok(Self {
            store,
            node,
            memory_bytes: megabytes.unwrap_or(1024) << 20,
        })
    }
}

/// The environment of the function that serves predictions.
#[derive(Debug, Clone)]
pub struct ServingEnvironment {
    /// From `TIDEMILL_STORE`: a folder, or `s3://bucket/prefix`.
    pub store: String,
    /// From `TIDEMILL_CONFIG`.
    pub serving: ServingConfig,
}

impl ServingEnvironment {
    /// Reads `TIDEMILL_STORE` and `TIDEMILL_CONFIG`.
    pub fn from_environment() -> Result<Self> {
        let fields = "the models as JSON (`{\"models\": {\"<model>\": {\"window\": \"1 day\", \"time\": \"<column>\"}}}`)";
        read("the served models", fields).map(|(store, serving)| Self { store, serving })
    }
}

/// The environment of the coordinator's function.
#[derive(Debug, Clone)]
pub struct CoordinatorEnvironment {
    /// From `TIDEMILL_STORE`: a folder, or `s3://bucket/prefix`.
    pub store: String,
    /// From `TIDEMILL_CONFIG`.
    pub coordinator: CoordinatorSettings,
}

impl CoordinatorEnvironment {
    /// Reads `TIDEMILL_STORE` and `TIDEMILL_CONFIG`.
    pub fn from_environment() -> Result<Self> {
        let fields = "the windows and schedules as JSON (`{\"models\": {\"<model>\": {\"dataset\": …, \"window\": …, \"block\": …}}, \"schedules\": []}`)";
        read("a coordinator", fields).map(|(store, coordinator)| Self { store, coordinator })
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether `TIDEMILL_CONFIG` describes a stage; else it describes a coordinator.
#[cfg(feature = "stages")]
pub(crate) fn is_stage() -> Result<bool> {
    let config: serde_json::Value = parse_config(
        variable("TIDEMILL_CONFIG").as_deref(),
        "a function",
        "a node or a coordinator as JSON",
    )?;
    Ok(config.get("stage").is_some())
}

fn read<T: DeserializeOwned>(what: &str, fields: &str) -> Result<(String, T)> {
    let store = parse_store(variable("TIDEMILL_STORE").as_deref())?;
    Ok((store, parse_config(variable("TIDEMILL_CONFIG").as_deref(), what, fields)?))
}

fn parse_store(store: Option<&str>) -> Result<String> {
    let store = store.filter(|store| !store.is_empty());
    store
        .map(str::to_owned)
        .ok_or_else(|| Error::config("`TIDEMILL_STORE` is not set: give the store's location, `s3://<bucket>/<prefix>` or a folder"))
}

/// The value of `TIDEMILL_CONFIG`, which describes `what` by `fields`.
fn parse_config<T: DeserializeOwned>(config: Option<&str>, what: &str, fields: &str) -> Result<T> {
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
    fn missing_variables_are_named() {
        assert!(parse_store(None).unwrap_err().message.contains("`TIDEMILL_STORE` is not set"));
        assert!(parse_store(Some("")).is_err());
        assert_eq!(parse_store(Some("s3://bucket/mill")).unwrap(), "s3://bucket/mill");
        let message = |config| parse_config::<NodeSettings>(config, "a node", "the node").unwrap_err().message;
        assert!(message(None).contains("`TIDEMILL_CONFIG` is not set: give the node"));
        assert!(message(Some("{}")).contains("stage"));
        assert!(message(Some("/nowhere.json")).contains("`/nowhere.json`"));
    }

    #[test]
    fn served_models() {
        let read = |config| parse_config::<ServingConfig>(Some(config), "the served models", "the models");
        let message = |config| read(config).unwrap_err().message;
        assert!(message(r#"{"models":{"late":{"window":"1 moon","time":"at"}}}"#).contains("`1 moon` is not a span"));
        assert!(message(r#"{"models":{"late":{"window":"1 month"}}}"#).contains("`time`"));
        let serving = read(r#"{"models":{"late":{"window":"1 month","time":"at"}}}"#).unwrap();
        assert_eq!(serving.models["late"].time, "at");
    }
}
