//! The settings of one node for a program that runs it elsewhere (a Lambda function, a component on Spin), and the rule that decides which
//! keys trigger it.
//!
//! An object that a stage may write counts only through the outcome that names it: half a run triggers nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DEFAULT_MAX_DEPTH, Node, Pipeline, StageKind, StagePolicy, TrainingStep, deployment::Access};
use crate::{
    layout::{self, Prefix, literal_prefix, matches, may_overlap},
    time::Span,
};

/// A node as a deployed function is configured with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NodeSettings {
    /// The stage's name: `validate`.
    pub stage: String,
    /// The dataset or model that the stage is about.
    pub resource: String,
    /// `components/<digest>` in the store, or a path from the function's folder: the component to run, or for a native stage the component
    /// that it stands for, so that its runs have the same keys and can be replayed from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Patterns of keys that trigger it.
    #[serde(default)]
    pub on: Vec<String>,
    /// The keys among these that other stages write.
    #[serde(default)]
    pub derived: Vec<DerivedObjects>,
    /// Patterns of keys that it may read.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Patterns of keys that it may write.
    #[serde(default)]
    pub writes: Vec<String>,
    /// Hosts that it may fetch from.
    #[serde(default)]
    pub fetch: Vec<String>,
    /// The stage's resolved configuration.
    pub config: Value,
    /// The seed of everything random.
    #[serde(default)]
    pub seed: u64,
    /// Timeout of a run; Lambda itself allows 900.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u64,
    /// Maximum linear memory of a component.
    #[serde(default = "default_memory_megabytes")]
    pub memory_megabytes: u64,
    /// The interval of its scheduled events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Steps after which a chain of events counts as a loop.
    #[serde(default = "default_max_depth")]
    pub max_depth: u32,
    /// Deliveries after which a transient error counts as final. A queue's `maxReceiveCount` should be greater.
    #[serde(default = "default_max_deliveries")]
    pub max_deliveries: u32,
}

/// Deliveries of a queue before it puts an event aside, where the run does not have to wait for others. With the last one the function
/// writes a dead letter instead of a run: the ones before ended without an answer.
pub const MAX_RECEIVE_COUNT: u32 = 60;

/// Objects that count only through the outcome of the stage that writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DerivedObjects {
    /// The outcomes of that stage, as a pattern: `outcomes/retrain/late/*`.
    pub producer: String,
    /// Patterns of the keys that it may write.
    pub outputs: Vec<String>,
}

fn default_timeout_seconds() -> u64 {
    600
}

fn default_memory_megabytes() -> u64 {
    1024
}

fn default_max_depth() -> u32 {
    DEFAULT_MAX_DEPTH
}

fn default_max_deliveries() -> u32 {
    30
}

/// The role of a key for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRole {
    /// Written from outside: it triggers the node.
    External,
    /// An outcome that triggers the node itself, or through the objects that its run wrote.
    Outcome,
    /// It counts only through the outcome of the stage that writes it.
    Derived,
    /// It does not trigger the node.
    Irrelevant,
}

impl NodeSettings {
    /// The settings of a node. The component is not set: the deployment decides where it lies.
    pub fn new(pipeline: &Pipeline, node: &Node) -> Self {
        let objects = || node.on.iter().filter(|on| !Prefix::Outcomes.contains(on));
        let derived = pipeline.nodes.iter().filter_map(|writer| {
            let writes = writer.writes.iter().filter(|writes| objects().any(|on| may_overlap(on, writes)));
            let writes: Vec<String> = writes.cloned().collect();
            (!writes.is_empty()).then_some(DerivedObjects {
                producer: writer.outcome_pattern(),
                outputs: writes,
            })
        });
        Self {
            stage: node.stage.clone(),
            resource: node.resource.clone(),
            component: None,
            on: node.on.clone(),
            derived: derived.collect(),
            reads: node.reads.clone(),
            writes: node.writes.clone(),
            fetch: node.fetch.clone(),
            config: node.config.clone(),
            seed: node.seed,
            timeout_seconds: node.timeout.as_secs(),
            memory_megabytes: node.memory_bytes >> 20,
            every: node.every,
            max_depth: pipeline.max_depth,
            max_deliveries: default_max_deliveries(),
        }
    }

    /// The prefixes of the keys whose events the function needs. Events about other keys are ignored.
    pub fn event_prefixes(&self) -> Vec<String> {
        let covered = |on: &str| {
            let writes = self.derived.iter().flat_map(|derived| &derived.outputs);
            writes
                .filter_map(|writes| writes.strip_suffix("**"))
                .any(|under| on.starts_with(under))
        };
        let own = self.on.iter().filter(|on| !covered(on));
        let mut prefixes: Vec<String> = own
            .chain(self.derived.iter().map(|derived| &derived.producer))
            .map(|pattern| literal_prefix(pattern).to_owned())
            .collect();
        prefixes.sort();
        prefixes.dedup();
        prefixes
    }

    /// Its grants, what triggers it, and the records that the host reads and writes for its runs.
    pub fn access(&self) -> Access {
        let (stage, resource) = (&self.stage, &self.resource);
        let mut access = Access {
            reads: self.reads.iter().chain(&self.on).cloned().collect(),
            writes: self.writes.clone(),
        };
        access
            .reads
            .extend(self.event_prefixes().iter().map(|prefix| format!("{prefix}**")));
        if self.policy().training == Some(TrainingStep::First) {
            // Trainings of a model follow each other: it looks how far the one before is.
            for later in StageKind::TRAINING.into_iter().skip(1).map(StageKind::name) {
                let records = [
                    layout::outcome_pattern(later, resource),
                    layout::dead_letter_pattern(later, resource),
                ];
                access.reads.extend(records);
            }
        }
        access.writes.extend([
            layout::outcome_pattern(stage, resource),
            layout::run_pattern(stage, resource),
            layout::dead_letter_pattern(stage, resource),
            // What a replay needs, named by content.
            Prefix::Components.everything(),
            Prefix::Configs.everything(),
        ]);
        access
    }

    /// The node, for the host.
    pub fn to_node(&self) -> Node {
        Node {
            stage: self.stage.clone(),
            resource: self.resource.clone(),
            component: self.component.clone().unwrap_or_default(),
            on: self.on.clone(),
            reads: self.reads.clone(),
            writes: self.writes.clone(),
            fetch: self.fetch.clone(),
            config: self.config.clone(),
            seed: self.seed,
            timeout: Duration::from_secs(self.timeout_seconds),
            memory_bytes: self.memory_megabytes << 20,
            concurrency: 1,
            every: self.every,
        }
    }

    /// How its runs are scheduled and where they may run.
    pub fn policy(&self) -> StagePolicy {
        StagePolicy::for_stage(&self.stage)
    }

    /// Whether a pattern of its triggers matches the key.
    pub fn is_triggered_by(&self, key: &str) -> bool {
        self.on.iter().any(|on| matches(on, key))
    }

    /// The role of a new object's key.
    pub fn classify(&self, key: &str) -> KeyRole {
        let outcome = Prefix::Outcomes.contains(key);
        let is_derived = || {
            self.derived
                .iter()
                .flat_map(|derived| &derived.outputs)
                .any(|writes| matches(writes, key))
        };
        match (outcome, self.is_triggered_by(key)) {
            (true, true) => KeyRole::Outcome,
            (true, false) if self.derived.iter().any(|derived| matches(&derived.producer, key)) => KeyRole::Outcome,
            (false, true) if is_derived() => KeyRole::Derived,
            (false, true) => KeyRole::External,
            _ => KeyRole::Irrelevant,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::project::Project;

    fn settings(on: &[&str], made: &[(&str, &str)]) -> NodeSettings {
        let made: Vec<Value> = made
            .iter()
            .map(|(by, writes)| json!({ "producer": by, "outputs": [writes] }))
            .collect();
        serde_json::from_value(json!({ "stage": "s", "resource": "m", "config": {}, "on": on, "derived": made })).unwrap()
    }

    #[test]
    fn what_stages_write_counts_through_their_outcomes() {
        let featurize = settings(&["requests/late/*"], &[("outcomes/retrain/late/*", "requests/late/**")]);
        assert_eq!(featurize.event_prefixes(), ["outcomes/retrain/late/"]);
        assert_eq!(featurize.classify("requests/late/x.json"), KeyRole::Derived);
        assert_eq!(featurize.classify("outcomes/retrain/late/x.json"), KeyRole::Outcome);
        assert_eq!(featurize.classify("outcomes/retrain/early/x.json"), KeyRole::Irrelevant);
        let validate = settings(&["raw/d/**"], &[("outcomes/collect/d/*", "raw/d/collected/**")]);
        assert_eq!(validate.event_prefixes(), ["outcomes/collect/d/", "raw/d/"]);
        assert_eq!(validate.classify("raw/d/a.csv"), KeyRole::External);
        assert_eq!(validate.classify("raw/d/collected/a.csv"), KeyRole::Derived);
        assert_eq!(validate.classify("raw/e/a.csv"), KeyRole::Irrelevant);
        let train = settings(&["outcomes/featurize/late/*"], &[]);
        assert_eq!(train.classify("outcomes/featurize/late/x.json"), KeyRole::Outcome);
        assert_eq!(train.event_prefixes(), ["outcomes/featurize/late/"]);
    }

    #[test]
    fn a_node_of_a_project_comes_back_whole() {
        let toml = "[project]\nname = \"x\"\n[[stage]]\nname = \"a\"\ncomponent = \"a.wasm\"\non = \"drop/*\"\nwrites = [\"made/**\"]\n\
                    [[stage]]\nname = \"b\"\ncomponent = \"b.wasm\"\non = [\"made/*\"]\nreads = [\"made/**\"]\n";
        let pipeline = Project::parse(toml, &|_| Ok(String::new())).unwrap().pipeline;
        let node = pipeline.node("b", "b").unwrap();
        let settings = NodeSettings::new(&pipeline, node);
        assert_eq!(settings.event_prefixes(), ["outcomes/a/a/"]);
        let text = serde_json::to_string(&settings).unwrap();
        let back: NodeSettings = serde_json::from_str(&text).unwrap();
        assert_eq!(back, settings);
        let expected = Node {
            component: String::new(),
            concurrency: 1,
            ..node.clone()
        };
        assert_eq!(back.to_node(), expected);
    }
}
