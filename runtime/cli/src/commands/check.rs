//! `tidemill check`: prints what the project contains. Every command checks the project when it reads it, so this one only renders.

use clap::Args;
use serde::Serialize;

use crate::{
    output::{Output, table},
    project::Project,
};

/// Checks the project.
#[derive(Args)]
pub(crate) struct Check {
    /// Draw the pipeline.
    #[arg(long)]
    graph: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ProjectSummary {
    project: String,
    datasets: Vec<String>,
    models: Vec<String>,
    stages: Vec<StageSummary>,
    chain: Vec<Edge>,
    #[serde(skip)]
    graph: bool,
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
        let checked = ProjectSummary {
            project: pipeline.project.clone(),
            datasets: pipeline.datasets.keys().cloned().collect(),
            models: pipeline.models.keys().cloned().collect(),
            stages: pipeline
                .nodes
                .iter()
                .map(|node| StageSummary {
                    id: node.id(),
                    on: node.on.clone(),
                    reads: node.reads.clone(),
                    writes: node.writes.clone(),
                })
                .collect(),
            chain: pipeline
                .edges()
                .into_iter()
                .map(|edge| Edge {
                    from: edge.from,
                    pattern: edge.pattern,
                    to: edge.to,
                })
                .collect(),
            graph: self.graph,
        };
        output.print(&checked, render_text)
    }
}

fn render_text(checked: &ProjectSummary) -> String {
    let head = format!(
        "`{}` is valid: {} datasets, {} models, {} stages",
        checked.project,
        checked.datasets.len(),
        checked.models.len(),
        checked.stages.len()
    );
    if !checked.graph {
        return head;
    }
    let mut rows = Vec::new();
    for stage in &checked.stages {
        let outside = stage
            .on
            .iter()
            .filter(|on| !checked.chain.iter().any(|link| link.to == stage.id && link.pattern == **on));
        rows.extend(outside.map(|on| vec!["(outside)".to_owned(), on.clone(), stage.id.clone()]));
    }
    rows.extend(
        checked
            .chain
            .iter()
            .map(|link| vec![link.from.clone(), link.pattern.clone(), link.to.clone()]),
    );
    format!("{head}\n{}", table(&["from", "through", "to"], rows, "no stage triggers another"))
}
