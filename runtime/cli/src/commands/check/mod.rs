//! `tidemill check`: prints what the project contains. Every command checks the project when it reads it, so this one only renders.

mod drawing;
mod formats;
mod graph;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tidemill_core::{pipeline::Pipeline, text::plural};

use self::graph::Graph;
use crate::{
    output::{Column, Output, result_width, table, write_stdout},
    project::Project,
};

/// Checks the project.
#[derive(Args)]
pub(crate) struct Check {
    /// Draw the pipeline: (dataset) → stage → [model].
    #[arg(long)]
    graph: bool,
    /// What to draw it as: text with the triggers of each stage, or the source of a diagram.
    #[arg(long, value_enum, default_value_t, requires = "graph")]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For this terminal.
    #[default]
    Text,
    /// A Mermaid flowchart; GitHub and GitLab draw it in documents.
    Mermaid,
    /// A Graphviz digraph, for `dot -Tsvg`.
    Dot,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ProjectSummary {
    project: String,
    datasets: Vec<String>,
    models: Vec<String>,
    stages: Vec<StageSummary>,
    chain: Vec<Edge>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct StageSummary {
    id: String,
    on: Vec<String>,
    reads: Vec<String>,
    writes: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Edge {
    from: String,
    pattern: String,
    to: String,
}

impl Check {
    pub(crate) fn run(&self, project: &Project, output: Output) -> anyhow::Result<()> {
        let pipeline = &project.pipeline;
        if !output.json && self.format != Format::Text {
            let graph = Graph::from_pipeline(pipeline);
            let source = match self.format {
                Format::Dot => formats::render_dot(&graph, &pipeline.project),
                Format::Mermaid | Format::Text => formats::render_mermaid(&graph),
            };
            return write_stdout(source.as_bytes());
        }
        output.print(&ProjectSummary::from_pipeline(pipeline), |checked| {
            let head = checked.render_text();
            match self.graph {
                true => format!(
                    "{head}\n\n{}\n\n{}",
                    drawing::draw(&Graph::from_pipeline(pipeline), result_width()),
                    checked.render_triggers()
                ),
                false => head,
            }
        })
    }
}

impl ProjectSummary {
    fn from_pipeline(pipeline: &Pipeline) -> Self {
        let stages = pipeline.nodes.iter().map(|node| StageSummary {
            id: node.id(),
            on: node.on.clone(),
            reads: node.reads.clone(),
            writes: node.writes.clone(),
        });
        let chain = pipeline.edges().into_iter().map(|edge| Edge {
            from: edge.from,
            pattern: edge.pattern,
            to: edge.to,
        });
        Self {
            project: pipeline.project.clone(),
            datasets: pipeline.datasets.keys().cloned().collect(),
            models: pipeline.models.keys().cloned().collect(),
            stages: stages.collect(),
            chain: chain.collect(),
        }
    }

    fn render_text(&self) -> String {
        format!(
            "`{}` is valid: {}, {}, {}",
            self.project,
            plural(self.datasets.len(), "dataset"),
            plural(self.models.len(), "model"),
            plural(self.stages.len(), "stage")
        )
    }

    /// What each stage runs on, in the pipeline's order, and which stage writes it; what none writes comes from outside.
    fn render_triggers(&self) -> String {
        let row = |stage: &StageSummary, on: &String| {
            let from = self.chain.iter().filter(|link| link.to == stage.id && link.pattern == *on);
            let from: Vec<&str> = from.map(|link| link.from.as_str()).collect();
            let from = if from.is_empty() { "outside".to_owned() } else { from.join(", ") };
            vec![stage.id.clone(), on.clone(), from]
        };
        let rows = self.stages.iter().flat_map(|stage| stage.on.iter().map(move |on| row(stage, on)));
        let columns = [Column::word("stage"), Column::key("runs on"), Column::text("from")];
        table(&columns, rows.collect(), "nothing triggers a stage")
    }
}
