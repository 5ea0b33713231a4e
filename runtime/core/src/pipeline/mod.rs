//! The pipeline that `tidemill.toml` describes: read once, checked whole, and from then on always valid.
//!
//! The user names datasets, features and models; the nine stages and their chain follow from that (`nodes.rs`).

mod check;
pub mod deployment;
mod nodes;
mod pattern;
mod raw;
mod settings;

use std::{collections::BTreeMap, time::Duration};

pub use pattern::{matches, may_overlap};
pub use settings::{DerivedObjects, KeyRole, NodeSettings};

use crate::{
    Error, Result,
    spec::{Dataset, Features, Model},
    time::Span,
};

/// The nine stages, in the order in which a model meets them.
pub const STAGES: [&str; 9] = [
    "collect",
    "validate",
    "featurize",
    "train",
    "evaluate",
    "register",
    "predict",
    "monitor",
    "retrain",
];

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
    /// Every stage for every resource. `predict` is not among them: it serves, it is not triggered.
    pub nodes: Vec<Node>,
    /// Steps after which a chain of events is taken for a loop; default 32.
    pub max_depth: u32,
    /// The component that serves predictions.
    pub predict_component: String,
}

/// One stage for one resource: what triggers it, what it may touch, how it runs.
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
    /// For everything random.
    pub seed: u64,
    /// Longest run.
    pub timeout: Duration,
    /// Most linear memory.
    pub memory_bytes: u64,
    /// Most runs at once.
    pub concurrency: usize,
    /// How often the flow writes a tick for it (`schedules/<stage>/<resource>/<time>.json`).
    pub every: Option<Span>,
}

/// "An object of `from` matching `pattern` triggers `to`".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// `<stage>:<resource>`, as [`Node::id`] gives it.
    pub from: String,
    /// A pattern of keys, `*` for one part.
    pub pattern: String,
    /// `<stage>:<resource>`.
    pub to: String,
}

impl Node {
    /// `validate:flights`.
    pub fn id(&self) -> String {
        format!("{}:{}", self.stage, self.resource)
    }

    /// The pattern of its outcomes' keys: `outcomes/validate/flights/*`.
    pub fn outcome_pattern(&self) -> String {
        format!("outcomes/{}/{}/*", self.stage, self.resource)
    }

    /// `Limit`, for a run that was waited for in vain.
    pub fn timeout_error(&self) -> Error {
        Error::limit(format!(
            "stage `{}` took longer than its {} s; raise `timeout-seconds`",
            self.stage,
            self.timeout.as_secs()
        ))
    }
}

impl Pipeline {
    /// Reads and checks `tidemill.toml`. `read` gives the text of a file named in it, by its path from the project's folder.
    pub fn parse(text: &str, read: &dyn Fn(&str) -> Result<String>) -> Result<Self> {
        let pipeline = raw::resolve(raw::RawPipeline::parse(text)?, read)?;
        check::check(&pipeline)?;
        Ok(pipeline)
    }

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

    /// The chain: who triggers whom through which keys.
    pub fn edges(&self) -> Vec<Edge> {
        check::edges(self)
    }
}
