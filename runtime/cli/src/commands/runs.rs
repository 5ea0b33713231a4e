//! `tidemill runs`: outcomes, with how each run went beside them.

use clap::Args;
use tidemill_catalog::{Catalog, RunEntry, RunQuery};

use super::suggest;
use crate::{
    output::{Output, table},
    project::Project,
};

/// Lists runs, the latest last.
#[derive(Args)]
pub(crate) struct Runs {
    /// Runs of this stage only.
    stage: Option<String>,
    /// Runs for this dataset or model only.
    resource: Option<String>,
    /// The latest runs, at most so many; 0 for all.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

impl Runs {
    pub(crate) async fn run(&self, project: &Project, output: Output) -> anyhow::Result<()> {
        let query = RunQuery {
            stage: self.stage.clone(),
            resource: self.resource.clone(),
            limit: Some(self.limit).filter(|limit| *limit > 0),
            ..RunQuery::default()
        };
        let runs = Catalog::new(project.open_store()?).runs(&query).await?;
        // Runs of a stage that was removed from the project are still listed.
        if runs.is_empty()
            && let Some(stage) = &self.stage
        {
            suggest::require_stage(&project.pipeline, stage, self.resource.as_deref())?;
        }
        output.print(&runs, |runs| {
            let header = ["started", "stage", "resource", "decision", "ms", "MiB", "reason", "id"];
            table(&header, runs.iter().map(cells).collect(), "nothing has run yet")
        })
    }
}

fn cells(entry: &RunEntry) -> Vec<String> {
    let (outcome, run) = (&entry.outcome, entry.run.as_ref());
    vec![
        run.map_or(String::new(), |run| run.started.strftime("%F %T").to_string()),
        outcome.stage.clone(),
        outcome.resource.clone(),
        format!("{:?}", outcome.decision).to_lowercase(),
        run.map_or(String::new(), |run| run.duration_ms.to_string()),
        run.map_or(String::new(), |run| (run.memory_bytes >> 20).to_string()),
        outcome.reason.clone(),
        entry.id.chars().take(12).collect(),
    ]
}
