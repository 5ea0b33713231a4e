//! Configurations of what is deployed beside the nodes, from the pipeline: serving, windows and schedules.
//!
//! A deployment writes them as JSON into a function's or a component's configuration; [`NodeSettings`](super::NodeSettings) is the
//! configuration of a node. Each configuration has an [`Access`], which a deployment turns into the rights of the program.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Pipeline, StageKind};
use crate::{
    layout::{self, Prefix},
    time::Span,
};

/// How long a server that logs predictions on a disk keeps rows there: then they go to the store. What closes windows beside several servers
/// waits longer than that.
pub const LOG_SEAL_SECONDS: u64 = 30;

/// Memory of SQL in a process that runs stages, for all queries together.
pub const SQL_MEMORY_BYTES: u64 = 2 << 30;

/// The keys that a deployed program touches, as patterns: those that it was granted, and those of its host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Keys that it reads. It reads what it writes, too.
    pub reads: Vec<String>,
    /// Keys that it writes.
    pub writes: Vec<String>,
}

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

    /// What serving reads of each model, and the prediction log.
    pub fn access(&self) -> Access {
        Access {
            reads: self.models.keys().flat_map(|model| layout::serving_patterns(model)).collect(),
            writes: self.models.keys().map(|model| Prefix::Predictions.pattern(model)).collect(),
        }
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
        let stage = StageKind::Validate.name();
        let prefixes = |dataset: &String| [layout::outcome_prefix(stage, dataset), layout::dead_letter_prefix(stage, dataset)];
        datasets.into_iter().flat_map(prefixes).collect()
    }

    /// What the closing of windows reads and writes, and the scheduled events.
    pub fn access(&self) -> Access {
        let mut access = Access::default();
        for (name, model) in &self.models {
            access.reads.extend([
                Prefix::Raw.pattern(&model.dataset),
                layout::outcome_pattern(StageKind::Validate.name(), &model.dataset),
                // All of them are listed, to find those of a dataset.
                Prefix::Dead.everything(),
                Prefix::Predictions.pattern(name),
            ]);
            access.writes.extend([
                Prefix::Windows.objects(name),
                Prefix::Logs.objects(name),
                Prefix::Manifests.pattern(&model.dataset),
                layout::data_file_set_pattern(&model.dataset),
            ]);
        }
        let events = self.schedules.iter();
        let events = events.map(|schedule| layout::schedule_pattern(&schedule.stage, &schedule.resource));
        access.writes.extend(events);
        access
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
