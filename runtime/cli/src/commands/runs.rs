//! `tidemill runs`: the ledger with how each run went beside it.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use tidemill_core::{
    record::{OutcomeRecord, RunRecord},
    trigger_id,
};
use tidemill_host::Ledger;

use crate::{
    commands::suggest,
    output::{Output, table},
    project::Project,
};

/// Lists runs, latest last.
#[derive(Args)]
pub(crate) struct Runs {
    /// Of this stage only.
    stage: Option<String>,
    /// About this dataset or model only.
    resource: Option<String>,
    /// The latest so many; 0 = all.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row {
    id: String,
    outcome: OutcomeRecord,
    run: Option<RunRecord>,
}

impl Row {
    fn started(&self) -> Option<Timestamp> {
        self.run.as_ref().map(|run| run.started)
    }
}

impl Runs {
    pub(crate) async fn run(&self, project: &Project, output: Output) -> anyhow::Result<()> {
        let store = project.open_store()?;
        let outcomes = Ledger::new(store.clone())
            .list_outcomes(self.stage.as_deref(), self.resource.as_deref())
            .await?;
        // What has outcomes is shown though the project has it no more.
        if outcomes.is_empty()
            && let Some(stage) = &self.stage
        {
            suggest::require_stage(&project.pipeline, stage, self.resource.as_deref())?;
        }
        let mut rows = Vec::new();
        for outcome in outcomes {
            let id = trigger_id(&outcome.stage, &outcome.resource, &outcome.trigger.key, &outcome.trigger.digest);
            let key = format!("runs/{}/{}/{id}.json", outcome.stage, outcome.resource);
            let run = store.get(&key).await.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            rows.push(Row { id, outcome, run });
        }
        rows.sort_by_key(Row::started);
        if self.limit > 0 && rows.len() > self.limit {
            rows.drain(..rows.len() - self.limit);
        }
        output.print(&rows, |rows| {
            let header = ["started", "stage", "resource", "decision", "ms", "MiB", "reason", "id"];
            table(&header, rows.iter().map(cells).collect(), "nothing has run yet")
        })
    }
}

fn cells(row: &Row) -> Vec<String> {
    let run = row.run.as_ref();
    vec![
        run.map_or(String::new(), |run| run.started.strftime("%F %T").to_string()),
        row.outcome.stage.clone(),
        row.outcome.resource.clone(),
        format!("{:?}", row.outcome.decision).to_lowercase(),
        run.map_or(String::new(), |run| run.duration_ms.to_string()),
        run.map_or(String::new(), |run| (run.memory_bytes >> 20).to_string()),
        row.outcome.reason.clone(),
        row.id[..12].to_owned(),
    ]
}
