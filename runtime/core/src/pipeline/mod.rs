//! The pipeline of a project: its datasets, features and models, and one node for each stage of each.
//!
//! A pipeline comes from [`Project::parse`](crate::project::Project::parse), which checks it whole: code that has one never checks again.
//! The nine stages and their triggers follow from the datasets and models (`nodes.rs`).

pub mod deployment;
mod nodes;
mod policy;
mod settings;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

pub(crate) use nodes::builtin_nodes;
pub use policy::{StageKind, StagePolicy, TrainingStep};
pub use settings::{DerivedObjects, KeyRole, MAX_RECEIVE_COUNT, NodeSettings};

use crate::{
    Error, Result,
    layout::{self, Prefix, matches, may_overlap},
    spec::{Dataset, Features, Model},
    text::quoted_list,
    time::Span,
};

/// Steps after which a chain of events counts as a loop, unless the project sets `max-depth`.
pub const DEFAULT_MAX_DEPTH: u32 = 32;

/// A checked pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// The project's name.
    pub project: String,
    /// By name.
    pub datasets: BTreeMap<String, Dataset>,
    /// By name.
    pub features: BTreeMap<String, Features>,
    /// By name.
    pub models: BTreeMap<String, Model>,
    /// One node for each stage of each dataset and model, and the added stages. `predict` is not among them: it serves over HTTP.
    pub nodes: Vec<Node>,
    /// Steps after which a chain of events counts as a loop; default 32.
    pub max_depth: u32,
    /// The component that serves predictions.
    pub predict_component: String,
}

/// One stage for one dataset or model: its triggers, grants and limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// `validate`, or the name of a stage that was added.
    pub stage: String,
    /// The dataset or model that it is for; an added stage's own name.
    pub resource: String,
    /// `tidemill:<stage>` for one that comes with Tidemill, else a path from the project's folder.
    pub component: String,
    /// Patterns of keys that trigger it.
    pub on: Vec<String>,
    /// Patterns of keys that it may read.
    pub reads: Vec<String>,
    /// Patterns of keys that it may write.
    pub writes: Vec<String>,
    /// Hosts that it may fetch from.
    pub fetch: Vec<String>,
    /// Its resolved configuration.
    pub config: serde_json::Value,
    /// The seed of everything random.
    pub seed: u64,
    /// Timeout of a run.
    pub timeout: Duration,
    /// Maximum linear memory of the component.
    pub memory_bytes: u64,
    /// Maximum number of concurrent runs.
    pub concurrency: usize,
    /// The interval of its scheduled events.
    pub every: Option<Span>,
}

/// "An object of `from` that matches `pattern` triggers `to`."
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// A node's id: `<stage>:<resource>`.
    pub from: String,
    /// A pattern of keys.
    pub pattern: String,
    /// A node's id.
    pub to: String,
}

impl Node {
    /// `validate:flights`.
    pub fn id(&self) -> String {
        format!("{}:{}", self.stage, self.resource)
    }

    /// How its runs are scheduled and where they may run.
    pub fn policy(&self) -> StagePolicy {
        StagePolicy::for_stage(&self.stage)
    }

    /// Whether a pattern of its triggers matches the key.
    pub fn is_triggered_by(&self, key: &str) -> bool {
        self.on.iter().any(|on| matches(on, key))
    }

    /// The pattern of its outcomes' keys: `outcomes/validate/flights/*`.
    pub fn outcome_pattern(&self) -> String {
        layout::outcome_pattern(&self.stage, &self.resource)
    }

    /// The `Timeout` error for a run that exceeded its timeout.
    pub fn timeout_error(&self) -> Error {
        Error::timeout(format!(
            "stage `{}` took longer than its {} s; raise `timeout-seconds`",
            self.stage,
            self.timeout.as_secs()
        ))
    }
}

impl Pipeline {
    /// One node.
    pub fn node(&self, stage: &str, resource: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.stage == stage && node.resource == resource)
    }

    /// One model; the `NotFound` error lists those that there are.
    pub fn require_model(&self, model: &str) -> Result<&Model> {
        self.models.get(model).ok_or_else(|| {
            let known = quoted_list(self.models.keys());
            Error::not_found(format!("there is no model `{model}`; there is {known}"))
        })
    }

    /// The graph of triggers: which node's objects trigger which.
    pub fn edges(&self) -> Vec<Edge> {
        let mut edges = BTreeSet::new();
        for from in &self.nodes {
            let outcomes = from.outcome_pattern();
            for to in &self.nodes {
                for on in &to.on {
                    if from.writes.iter().chain([&outcomes]).any(|written| may_overlap(written, on)) {
                        edges.insert(Edge {
                            from: from.id(),
                            pattern: on.clone(),
                            to: to.id(),
                        });
                    }
                }
            }
        }
        // The host closes a window when validated data has passed it.
        for model in self.models.values() {
            if let Some(features) = self.features.get(&model.features) {
                edges.insert(Edge {
                    from: format!("{}:{}", StageKind::Validate.name(), features.dataset),
                    pattern: Prefix::Windows.objects(&model.name),
                    to: format!("{}:{}", StageKind::Monitor.name(), model.name),
                });
            }
        }
        edges.into_iter().collect()
    }
}

/// The shortest cycle of triggers through a node: its id first and last.
pub(crate) fn cycle_through(edges: &[Edge], node: &str) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut reached = VecDeque::from([node]);
    while let Some(last) = reached.pop_front() {
        for edge in edges.iter().filter(|edge| edge.from == last) {
            if edge.to == node {
                let back = std::iter::successors(Some(last), |at| came_from.get(at).copied());
                let mut path: Vec<String> = back.map(str::to_owned).collect();
                path.reverse();
                path.push(node.to_owned());
                return Some(path);
            }
            if !came_from.contains_key(edge.to.as_str()) {
                came_from.insert(&edge.to, last);
                reached.push_back(&edge.to);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str) -> Edge {
        Edge {
            from: from.into(),
            pattern: "x/*".into(),
            to: to.into(),
        }
    }

    #[test]
    fn the_shortest_cycle_is_found_and_others_do_not_hang() {
        let edges = [edge("a", "b"), edge("b", "c"), edge("c", "b"), edge("c", "a"), edge("b", "a")];
        assert_eq!(cycle_through(&edges, "a"), Some(vec!["a".into(), "b".into(), "a".into()]));
        assert_eq!(cycle_through(&edges, "c").map(|path| path.len()), Some(3));
        assert_eq!(cycle_through(&edges[..3], "a"), None);
        assert_eq!(cycle_through(&[edge("a", "a")], "a"), Some(vec!["a".into(), "a".into()]));
    }
}
