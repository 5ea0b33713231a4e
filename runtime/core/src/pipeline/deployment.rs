//! Configurations of what is deployed beside the nodes, from the pipeline: serving, windows and schedules.
//!
//! A deployment writes them as JSON into a function's or a component's configuration; [`NodeSettings`](super::NodeSettings) is the
//! configuration of a node.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Pipeline;
use crate::time::Span;

/// Where a model's predictions are logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LoggedModel {
    /// The span of one folder: the monitor's window.
    pub window: Span,
    /// The column that holds a row's event time; rows without it are logged by when they were served.
    pub time: String,
}

/// The configuration of what serves predictions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServingConfig {
    /// Where the predictions of each model are logged.
    pub models: BTreeMap<String, LoggedModel>,
}

impl ServingConfig {
    /// All models of a project.
    pub fn from_pipeline(pipeline: &Pipeline) -> Self {
        let models = pipeline.models.values().filter_map(|model| {
            let time = pipeline.features.get(&model.features)?.time.clone();
            let window = model.monitor.window;
            Some((model.name.clone(), LoggedModel { window, time }))
        });
        Self { models: models.collect() }
    }
}

/// The configuration of the coordinator, which closes windows and writes scheduled events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CoordinatorSettings {
    /// The windows of each model.
    #[serde(default)]
    pub models: BTreeMap<String, ModelWindows>,
    /// The nodes that run by a schedule.
    #[serde(default)]
    pub schedules: Vec<Schedule>,
}

/// The windows of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModelWindows {
    /// The dataset that the model's features come from.
    pub dataset: String,
    /// The monitor's window.
    pub window: Span,
    /// The monitor's block: a window closes when the data has come within one of its end.
    pub block: Span,
}

/// The schedule of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Schedule {
    /// The node's stage.
    pub stage: String,
    /// The node's dataset or model.
    pub resource: String,
    /// How often the node runs.
    pub every: Span,
}

impl CoordinatorSettings {
    /// All windows and schedules of a project.
    pub fn from_pipeline(pipeline: &Pipeline) -> Self {
        let models = pipeline.models.values().filter_map(|model| {
            let windows = ModelWindows {
                dataset: pipeline.features.get(&model.features)?.dataset.clone(),
                window: model.monitor.window,
                block: model.monitor.block,
            };
            Some((model.name.clone(), windows))
        });
        let schedules = pipeline.nodes.iter().filter_map(|node| {
            let every = node.every.filter(|every| !every.is_zero())?;
            Some(Schedule {
                stage: node.stage.clone(),
                resource: node.resource.clone(),
                every,
            })
        });
        Self {
            models: models.collect(),
            schedules: schedules.collect(),
        }
    }

    /// The prefixes of the keys whose events the coordinator needs: outcomes and dead letters of the datasets' validations.
    pub fn event_prefixes(&self) -> Vec<String> {
        let datasets: BTreeSet<&String> = self.models.values().map(|model| &model.dataset).collect();
        let prefixes = |dataset: &String| [format!("outcomes/validate/{dataset}/"), format!("dead/validate/{dataset}/")];
        datasets.into_iter().flat_map(prefixes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coordinator_needs_the_events_of_validations() {
        let model = r#"{"dataset":"flights","window":"1 month","block":"1 day"}"#;
        let settings: CoordinatorSettings = serde_json::from_str(&format!(r#"{{"models":{{"a":{model},"b":{model}}}}}"#)).unwrap();
        assert_eq!(settings.event_prefixes(), ["outcomes/validate/flights/", "dead/validate/flights/"]);
    }
}
