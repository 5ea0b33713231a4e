//! The pipeline as a graph: what comes from outside, the stages, the models, and which objects trigger what.

use tidemill_core::{
    layout::Prefix,
    pipeline::{Pipeline, StageKind},
};

/// What a vertex stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A dataset: files that a user uploads.
    Dataset,
    /// Objects that come from elsewhere: schedules, labels.
    Source,
    /// A stage of a dataset or model, or an added one.
    Stage,
    /// A model of the registry.
    Model,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vertex {
    pub(super) kind: Kind,
    /// A stage's id (`train:late`), a pattern of keys, or a name.
    pub(super) name: String,
}

/// `from` and `to` are places in `vertices`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    /// The pattern of the keys that trigger; empty where the source or the model says it.
    pub(super) label: String,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Graph {
    pub(super) vertices: Vec<Vertex>,
    pub(super) arrows: Vec<Arrow>,
}

impl Graph {
    /// The graph of a pipeline: datasets and what else comes from outside first, in the pipeline's order.
    pub(super) fn from_pipeline(pipeline: &Pipeline) -> Self {
        let mut graph = Self::default();
        for dataset in pipeline.datasets.keys() {
            graph.place(Kind::Dataset, dataset);
        }
        for node in &pipeline.nodes {
            graph.place(Kind::Stage, &node.id());
        }
        let edges = pipeline.edges();
        for edge in &edges {
            graph.connect((Kind::Stage, &edge.from), (Kind::Stage, &edge.to), &edge.pattern);
        }
        for node in &pipeline.nodes {
            for on in &node.on {
                let is_dataset = |dataset: &&String| Prefix::Raw.pattern(dataset) == *on;
                // Files of a dataset may be uploaded even where a stage fetches them.
                match pipeline.datasets.keys().find(is_dataset) {
                    Some(dataset) => graph.connect((Kind::Dataset, dataset), (Kind::Stage, &node.id()), on),
                    None if edges.iter().any(|edge| edge.to == node.id() && edge.pattern == *on) => (),
                    None => graph.connect((Kind::Source, on), (Kind::Stage, &node.id()), ""),
                }
            }
            if node.stage == StageKind::Register.name() {
                graph.connect((Kind::Stage, &node.id()), (Kind::Model, &node.resource), "");
            }
        }
        graph
    }

    fn place(&mut self, kind: Kind, name: &str) -> usize {
        let found = self.vertices.iter().position(|vertex| vertex.kind == kind && vertex.name == name);
        found.unwrap_or_else(|| {
            self.vertices.push(Vertex {
                kind,
                name: name.to_owned(),
            });
            self.vertices.len() - 1
        })
    }

    fn connect(&mut self, from: (Kind, &str), to: (Kind, &str), label: &str) {
        let (from, to) = (self.place(from.0, from.1), self.place(to.0, to.1));
        self.arrows.push(Arrow {
            from,
            to,
            label: label.to_owned(),
        });
    }

    /// What a vertex leads to, each once.
    pub(super) fn next(&self, at: usize) -> Vec<usize> {
        let mut found: Vec<usize> = self.arrows.iter().filter(|arrow| arrow.from == at).map(|arrow| arrow.to).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a stage has no other stage or dataset before it.
    pub(super) fn is_entry(&self, at: usize) -> bool {
        let mut before = self.arrows.iter().filter(|arrow| arrow.to == at);
        before.all(|arrow| self.vertices[arrow.from].kind == Kind::Source)
    }

    /// The names of what triggers a vertex from outside.
    pub(super) fn sources(&self, at: usize) -> Vec<&str> {
        let sources = self
            .arrows
            .iter()
            .filter(|arrow| arrow.to == at)
            .map(|arrow| &self.vertices[arrow.from]);
        sources
            .filter(|vertex| vertex.kind == Kind::Source)
            .map(|vertex| vertex.name.as_str())
            .collect()
    }
}
