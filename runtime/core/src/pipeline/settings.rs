//! One node of the pipeline as whoever runs it elsewhere (a Lambda function, a component on Spin) is told of it, and which of the keys
//! that it hears of trigger it.
//!
//! An object that a stage may write counts only through an outcome that names it, as in the flow: half a run triggers nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Node, Pipeline, matches, may_overlap};
use crate::time::Span;

/// The node, as far as a function needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NodeSettings {
    /// The stage's name: `validate`.
    pub stage: String,
    /// The dataset or model that the stage is about.
    pub resource: String,
    /// `components/<digest>` in the store, or a path from the function's folder. What is run, where components are run; for a native
    /// stage, the component that it stands for: its runs then have the same keys, and can be replayed from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Patterns of keys that trigger it.
    #[serde(default)]
    pub on: Vec<String>,
    /// Which of these keys other stages write.
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
    /// For everything random.
    #[serde(default)]
    pub seed: u64,
    /// Longest run; Lambda itself allows 900.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u64,
    /// Most linear memory of a component.
    #[serde(default = "default_memory_megabytes")]
    pub memory_megabytes: u64,
    /// How often a schedule runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Steps after which a chain of events is taken for a loop.
    #[serde(default = "default_max_depth")]
    pub max_depth: u32,
    /// Deliveries after which an error that could pass counts as final. A queue's `maxReceiveCount` should be greater.
    #[serde(default = "default_max_deliveries")]
    pub max_deliveries: u32,
}

/// Objects that count through their writer's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DerivedObjects {
    /// The writer's outcomes: `outcomes/retrain/late/*`.
    pub producer: String,
    /// Patterns of keys that it may write.
    pub outputs: Vec<String>,
}

fn default_timeout_seconds() -> u64 {
    600
}

fn default_memory_megabytes() -> u64 {
    1024
}

fn default_max_depth() -> u32 {
    32
}

fn default_max_deliveries() -> u32 {
    30
}

/// What a key means to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRole {
    /// Somebody put it there: it triggers the node.
    External,
    /// An outcome that triggers the node itself, or by what its run wrote.
    Outcome,
    /// It counts only through its writer's outcome.
    Derived,
    /// The node does not wait for it.
    Irrelevant,
}

impl NodeSettings {
    /// What `node` of `pipeline` is told; its component is left to whoever deploys.
    pub fn new(pipeline: &Pipeline, node: &Node) -> Self {
        let objects = || node.on.iter().filter(|on| !on.starts_with("outcomes/"));
        let made = pipeline.nodes.iter().filter_map(|writer| {
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
            derived: made.collect(),
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

    /// The keys whose events the function needs begin so. Others may come and are passed over.
    pub fn event_prefixes(&self) -> Vec<String> {
        let covered = |on: &str| {
            let writes = self.derived.iter().flat_map(|made| &made.outputs);
            writes
                .filter_map(|writes| writes.strip_suffix("**"))
                .any(|under| on.starts_with(under))
        };
        let own = self.on.iter().filter(|on| !covered(on));
        let mut prefixes: Vec<String> = own
            .chain(self.derived.iter().map(|made| &made.producer))
            .map(|pattern| literal_prefix(pattern))
            .collect();
        prefixes.sort();
        prefixes.dedup();
        prefixes
    }

    /// As the host takes it.
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

    /// Whether the node waits for an object with this key.
    pub fn is_triggered_by(&self, key: &str) -> bool {
        self.on.iter().any(|on| matches(on, key))
    }

    /// What the key of a new object means.
    pub fn classify(&self, key: &str) -> KeyRole {
        let outcome = key.starts_with("outcomes/");
        let is_made = || {
            self.derived
                .iter()
                .flat_map(|made| &made.outputs)
                .any(|writes| matches(writes, key))
        };
        match (outcome, self.is_triggered_by(key)) {
            (true, true) => KeyRole::Outcome,
            (true, false) if self.derived.iter().any(|made| matches(&made.producer, key)) => KeyRole::Outcome,
            (false, true) if is_made() => KeyRole::Derived,
            (false, true) => KeyRole::External,
            _ => KeyRole::Irrelevant,
        }
    }
}

/// What stands before the first wildcard.
fn literal_prefix(pattern: &str) -> String {
    let end = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
    pattern[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(on: &[&str], made: &[(&str, &str)]) -> NodeSettings {
        let made: Vec<Value> = made
            .iter()
            .map(|(by, writes)| json!({ "producer": by, "writes": [writes] }))
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
        let pipeline = Pipeline::parse(toml, &|_| Ok(String::new())).unwrap();
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
