//! What a function is told: where the store is, and which part of the project it is. The environment is read here and nowhere else.
//!
//! `TIDEMILL_CONFIG` is JSON, or the path of a JSON file in the package: Lambda allows 4 KB for all variables together, which a
//! contract may exceed.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidemill_core::{Error, Result, pipeline::Pipeline, time::Span};
pub use tidemill_host::log::ServingConfig;

use crate::NodeSettings;

/// A stage's settings.
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

/// What a function that serves predictions is told.
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
        read("what is served", fields).map(|(store, serving)| Self { store, serving })
    }
}

/// What the coordinator is told: the function that closes windows and writes ticks.
#[derive(Debug, Clone)]
pub struct CoordinatorEnvironment {
    /// From `TIDEMILL_STORE`: a folder, or `s3://bucket/prefix`.
    pub store: String,
    /// From `TIDEMILL_CONFIG`.
    pub coordinator: CoordinatorSettings,
}

/// What is closed and what is ticked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CoordinatorSettings {
    /// The windows of each model.
    #[serde(default)]
    pub models: BTreeMap<String, ModelWindows>,
    /// The stages that run by a schedule.
    #[serde(default)]
    pub schedules: Vec<Schedule>,
}

/// A model's windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModelWindows {
    /// The dataset that its features come from.
    pub dataset: String,
    /// The monitor's window.
    pub window: Span,
    /// The monitor's block: a window closes when the data has come within one of its end.
    pub block: Span,
}

/// A stage that runs by a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Schedule {
    /// The stage's name.
    pub stage: String,
    /// The dataset or model that it is about.
    pub resource: String,
    /// How often.
    pub every: Span,
}

impl CoordinatorSettings {
    /// All windows and ticks of a project.
    pub fn from_pipeline(pipeline: &Pipeline) -> Self {
        let models = pipeline.models.values().filter_map(|model| {
            let kept = ModelWindows {
                dataset: pipeline.features.get(&model.features)?.dataset.clone(),
                window: model.monitor.window,
                block: model.monitor.block,
            };
            Some((model.name.clone(), kept))
        });
        let ticks = pipeline.nodes.iter().filter_map(|node| {
            let every = node.every.filter(|every| !every.is_zero())?;
            Some(Schedule {
                stage: node.stage.clone(),
                resource: node.resource.clone(),
                every,
            })
        });
        Self {
            models: models.collect(),
            schedules: ticks.collect(),
        }
    }

    /// The keys whose events the coordinator waits for begin so: what is settled about a dataset's files.
    pub fn prefixes(&self) -> Vec<String> {
        let mut datasets: Vec<&String> = self.models.values().map(|model| &model.dataset).collect();
        datasets.sort();
        datasets.dedup();
        let of = |dataset: &String| [format!("outcomes/validate/{dataset}/"), format!("dead/validate/{dataset}/")];
        datasets.into_iter().flat_map(of).collect()
    }
}

impl CoordinatorEnvironment {
    /// Reads `TIDEMILL_STORE` and `TIDEMILL_CONFIG`.
    pub fn from_environment() -> Result<Self> {
        let fields =
            "the windows and ticks as JSON (`{\"models\": {\"<model>\": {\"dataset\": …, \"window\": …, \"block\": …}}, \"ticks\": []}`)";
        read("what is kept", fields).map(|(store, kept)| Self { store, coordinator: kept })
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read<T: DeserializeOwned>(what: &str, fields: &str) -> Result<(String, T)> {
    let store = parse_store(variable("TIDEMILL_STORE").as_deref())?;
    Ok((store, parse_config(variable("TIDEMILL_CONFIG").as_deref(), what, fields)?))
}

fn parse_store(store: Option<&str>) -> Result<String> {
    let store = store.filter(|store| !store.is_empty());
    store
        .map(str::to_owned)
        .ok_or_else(|| Error::config("`TIDEMILL_STORE` is not set: give the store's place, `s3://<bucket>/<prefix>` or a folder"))
}

/// `TIDEMILL_CONFIG`, which describes `what` by `fields`.
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
    fn what_is_missing_is_said() {
        assert!(parse_store(None).unwrap_err().message.contains("`TIDEMILL_STORE` is not set"));
        assert!(parse_store(Some("")).is_err());
        assert_eq!(parse_store(Some("s3://bucket/mill")).unwrap(), "s3://bucket/mill");
        let message = |config| parse_config::<NodeSettings>(config, "a node", "the node").unwrap_err().message;
        assert!(message(None).contains("`TIDEMILL_CONFIG` is not set: give the node"));
        assert!(message(Some("{}")).contains("stage"));
        assert!(message(Some("/nowhere.json")).contains("`/nowhere.json`"));
    }

    #[test]
    fn what_is_served() {
        let read = |config| parse_config::<ServingConfig>(Some(config), "what is served", "the models");
        let message = |config| read(config).unwrap_err().message;
        assert!(message(r#"{"models":{"late":{"window":"1 moon","time":"at"}}}"#).contains("`1 moon` is not a span"));
        assert!(message(r#"{"models":{"late":{"window":"1 month"}}}"#).contains("`time`"));
        let serving = read(r#"{"models":{"late":{"window":"1 month","time":"at"}}}"#).unwrap();
        assert_eq!(serving.models["late"].time, "at");
    }

    #[test]
    fn the_keeper_waits_for_what_is_settled() {
        let model = r#"{"dataset":"flights","window":"1 month","block":"1 day"}"#;
        let kept: CoordinatorSettings = parse_config(Some(&format!(r#"{{"models":{{"a":{model},"b":{model}}}}}"#)), "", "").unwrap();
        assert_eq!(kept.prefixes(), ["outcomes/validate/flights/", "dead/validate/flights/"]);
    }
}
