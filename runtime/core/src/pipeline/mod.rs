//! The pipeline of a project: its datasets, features and models, and one node for each stage of each.
//!
//! A pipeline comes from [`Project::parse`](crate::project::Project::parse), which checks it whole: code that has one never checks again.
//! The nine stages and their triggers follow from the datasets and models (`nodes.rs`).

pub mod deployment;
mod graph;
mod nodes;
mod policy;
mod settings;

use std::{collections::BTreeMap, time::Duration};

pub use graph::Edge;
pub(crate) use graph::cycle_through;
pub(crate) use nodes::builtin_nodes;
pub use policy::{StageKind, StagePolicy, TrainingStep};
pub use settings::{DerivedObjects, KeyRole, NodeSettings};

use crate::{
    Error,
    layout::{self, matches},
    spec::{Dataset, Features, Model},
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

impl Node {
    /// `validate:flights`.
    pub fn id(&self) -> String {
        format!("{}:{}", self.stage, self.resource)
    }

    /// How its runs are scheduled and where they may run.
    pub fn policy(&self) -> StagePolicy {
        StagePolicy::for_stage(&self.stage)
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
    /// The nodes that an object with this key triggers.
    pub fn triggered_nodes<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Node> {
        self.nodes
            .iter()
            .filter(move |node| node.on.iter().any(|pattern| matches(pattern, key)))
    }

    /// One node.
    pub fn node(&self, stage: &str, resource: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.stage == stage && node.resource == resource)
    }

    /// The graph of triggers.
    pub fn edges(&self) -> Vec<Edge> {
        graph::edges(self)
    }

    /// The shortest cycle of triggers through a node, as ids; the node's own is first and last.
    pub fn cycle_through(&self, node: &Node) -> Option<Vec<String>> {
        graph::cycle_through(&self.edges(), &node.id())
    }
}
