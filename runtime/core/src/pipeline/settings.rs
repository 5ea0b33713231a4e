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
    pub subject: String,
    /// `components/<digest>` in the store, or a path from the function's folder. What is run, where components are run; for a native
    /// stage, the component that it stands for: its runs then have the same keys, and can be replayed from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Patterns of keys that trigger it.
    #[serde(default)]
    pub on: Vec<String>,
    /// Which of these keys other stages write.
    #[serde(default)]
    pub made: Vec<Made>,
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
    #[serde(default = "timeout")]
    pub timeout_seconds: u64,
    /// Most linear memory of a component.
    #[serde(default = "memory")]
    pub memory_megabytes: u64,
    /// How often a schedule runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Steps after which a chain of events is taken for a loop.
    #[serde(default = "hops")]
    pub hop_limit: u32,
    /// Deliveries after which an error that could pass counts as final. A queue's `maxReceiveCount` should be greater.
    #[serde(default = "tries")]
    pub tries: u32,
}

/// Objects that count through their writer's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Made {
    /// The writer's outcomes: `outcomes/retrain/late/*`.
    pub by: String,
    /// Patterns of keys that it may write.
    pub writes: Vec<String>,
}

fn timeout() -> u64 {
    600
}

fn memory() -> u64 {
    1024
}

fn hops() -> u32 {
    32
}

fn tries() -> u32 {
    30
}

/// What a key means to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Somebody put it there: it triggers the node.
    Foreign,
    /// An outcome that triggers the node itself, or by what its run wrote.
    Outcome,
    /// It counts only through its writer's outcome.
    Made,
    /// The node does not wait for it.
    Nothing,
}

impl NodeSettings {
    /// What `node` of `pipeline` is told; its component is left to whoever deploys.
    pub fn of(pipeline: &Pipeline, node: &Node) -> Self {
        let objects = || node.on.iter().filter(|on| !on.starts_with("outcomes/"));
        let made = pipeline.nodes.iter().filter_map(|writer| {
            let writes = writer.writes.iter().filter(|writes| objects().any(|on| may_overlap(on, writes)));
            let writes: Vec<String> = writes.cloned().collect();
            (!writes.is_empty()).then_some(Made {
                by: writer.outcomes(),
                writes,
            })
        });
        Self {
            stage: node.stage.clone(),
            subject: node.subject.clone(),
            component: None,
            on: node.on.clone(),
            made: made.collect(),
            reads: node.reads.clone(),
            writes: node.writes.clone(),
            fetch: node.fetch.clone(),
            config: node.config.clone(),
            seed: node.seed,
            timeout_seconds: node.timeout.as_secs(),
            memory_megabytes: node.memory_bytes >> 20,
            every: node.every,
            hop_limit: pipeline.hop_limit,
            tries: tries(),
        }
    }

    /// The keys whose events the function needs begin so. Others may come and are passed over.
    pub fn prefixes(&self) -> Vec<String> {
        let covered = |on: &str| {
            let writes = self.made.iter().flat_map(|made| &made.writes);
            writes
                .filter_map(|writes| writes.strip_suffix("**"))
                .any(|under| on.starts_with(under))
        };
        let own = self.on.iter().filter(|on| !covered(on));
        let mut prefixes: Vec<String> = own
            .chain(self.made.iter().map(|made| &made.by))
            .map(|pattern| fixed(pattern))
            .collect();
        prefixes.sort();
        prefixes.dedup();
        prefixes
    }

    /// As the host takes it.
    pub fn node(&self) -> Node {
        Node {
            stage: self.stage.clone(),
            subject: self.subject.clone(),
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
    pub fn waits_for(&self, key: &str) -> bool {
        self.on.iter().any(|on| matches(on, key))
    }

    /// What the key of a new object means.
    pub fn hears(&self, key: &str) -> Heard {
        let outcome = key.starts_with("outcomes/");
        let is_made = || self.made.iter().flat_map(|made| &made.writes).any(|writes| matches(writes, key));
        match (outcome, self.waits_for(key)) {
            (true, true) => Heard::Outcome,
            (true, false) if self.made.iter().any(|made| matches(&made.by, key)) => Heard::Outcome,
            (false, true) if is_made() => Heard::Made,
            (false, true) => Heard::Foreign,
            _ => Heard::Nothing,
        }
    }
}

/// What stands before the first wildcard.
fn fixed(pattern: &str) -> String {
    let end = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
    pattern[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(on: &[&str], made: &[(&str, &str)]) -> NodeSettings {
        let made: Vec<Value> = made.iter().map(|(by, writes)| json!({ "by": by, "writes": [writes] })).collect();
        serde_json::from_value(json!({ "stage": "s", "subject": "m", "config": {}, "on": on, "made": made })).unwrap()
    }

    #[test]
    fn what_stages_write_counts_through_their_outcomes() {
        let featurize = settings(&["requests/late/*"], &[("outcomes/retrain/late/*", "requests/late/**")]);
        assert_eq!(featurize.prefixes(), ["outcomes/retrain/late/"]);
        assert_eq!(featurize.hears("requests/late/x.json"), Heard::Made);
        assert_eq!(featurize.hears("outcomes/retrain/late/x.json"), Heard::Outcome);
        assert_eq!(featurize.hears("outcomes/retrain/early/x.json"), Heard::Nothing);
        let validate = settings(&["raw/d/**"], &[("outcomes/collect/d/*", "raw/d/collected/**")]);
        assert_eq!(validate.prefixes(), ["outcomes/collect/d/", "raw/d/"]);
        assert_eq!(validate.hears("raw/d/a.csv"), Heard::Foreign);
        assert_eq!(validate.hears("raw/d/collected/a.csv"), Heard::Made);
        assert_eq!(validate.hears("raw/e/a.csv"), Heard::Nothing);
        let train = settings(&["outcomes/featurize/late/*"], &[]);
        assert_eq!(train.hears("outcomes/featurize/late/x.json"), Heard::Outcome);
        assert_eq!(train.prefixes(), ["outcomes/featurize/late/"]);
    }

    #[test]
    fn a_node_of_a_project_comes_back_whole() {
        let toml = "[project]\nname = \"x\"\n[[stage]]\nname = \"a\"\ncomponent = \"a.wasm\"\non = \"drop/*\"\nwrites = [\"made/**\"]\n\
                    [[stage]]\nname = \"b\"\ncomponent = \"b.wasm\"\non = [\"made/*\"]\nreads = [\"made/**\"]\n";
        let pipeline = Pipeline::parse(toml, &|_| Ok(String::new())).unwrap();
        let node = pipeline.node("b", "b").unwrap();
        let settings = NodeSettings::of(&pipeline, node);
        assert_eq!(settings.prefixes(), ["outcomes/a/a/"]);
        let text = serde_json::to_string(&settings).unwrap();
        let back: NodeSettings = serde_json::from_str(&text).unwrap();
        assert_eq!(back, settings);
        let expected = Node {
            component: String::new(),
            concurrency: 1,
            ..node.clone()
        };
        assert_eq!(back.node(), expected);
    }
}
