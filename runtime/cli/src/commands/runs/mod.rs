//! `tidemill runs`: outcomes, with how each run went beside them, and below them what runs or waits now.

mod show;

use clap::{Args, Subcommand};
use tidemill_catalog::{Catalog, RunEntry, RunQuery};
use tidemill_core::Decision;

use super::{
    queue::{fetch_queue, render_queue},
    suggest,
};
use crate::{
    output::{Column, Output, table},
    project::Project,
};

/// Lists runs, the newest last, and what runs or waits now; shows a run.
#[derive(Args)]
pub(crate) struct Runs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Subcommand)]
enum Action {
    /// Show a run: its decision and reason, inputs, outputs, findings.
    Show {
        /// The id that `tidemill runs` lists, or the run key; the first digits are enough.
        id: String,
    },
}

#[derive(Args)]
struct Filter {
    /// Runs of this stage only.
    #[arg(long)]
    stage: Option<String>,
    /// Runs for this dataset or model only.
    #[arg(long)]
    resource: Option<String>,
    /// Runs that failed or rejected their input only.
    #[arg(long)]
    failed: bool,
    /// The newest runs, at most so many; 0 for all.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

impl Runs {
    pub(crate) async fn run(&self, project: &Project, output: Output) -> anyhow::Result<()> {
        let catalog = Catalog::new(project.open_store()?);
        match &self.action {
            Some(Action::Show { id }) => show::run(&catalog, id, output).await,
            None => self.filter.list(project, &catalog, output).await,
        }
    }
}

impl Filter {
    async fn list(&self, project: &Project, catalog: &Catalog, output: Output) -> anyhow::Result<()> {
        let mut runs = self.select_runs(catalog).await?;
        if runs.is_empty() {
            // Runs of a stage that was removed from the project are still listed.
            self.require_names(project)?;
        }
        let all = runs.len();
        if self.limit > 0 {
            runs.drain(..all.saturating_sub(self.limit));
        }
        output.print(&runs, |runs| {
            let empty = if self.failed { "no run failed" } else { "nothing has run yet" };
            let mut text = table(&COLUMNS, runs.iter().map(cells).collect(), empty);
            if runs.len() < all {
                text += &format!("\n\nthe newest {} of {all} runs; `--limit 0` lists all", runs.len());
            }
            text + &self.render_now(project)
        })
    }

    async fn select_runs(&self, catalog: &Catalog) -> anyhow::Result<Vec<RunEntry>> {
        let query = RunQuery {
            stage: self.stage.clone(),
            resource: self.resource.clone(),
            ..RunQuery::default()
        };
        let mut runs = catalog.runs(&query).await?;
        let went_wrong = |entry: &RunEntry| matches!(entry.outcome.decision, Decision::Failed | Decision::Rejected);
        runs.retain(|entry| !self.failed || went_wrong(entry));
        Ok(runs)
    }

    fn require_names(&self, project: &Project) -> tidemill_core::Result<()> {
        match (&self.stage, &self.resource) {
            (Some(stage), resource) => suggest::require_stage(&project.pipeline, stage, resource.as_deref()),
            (None, Some(resource)) => suggest::require_resource(&project.pipeline, resource),
            (None, None) => Ok(()),
        }
    }

    /// What runs and waits in the process that serves the project; nothing where none does.
    fn render_now(&self, project: &Project) -> String {
        let queue = if self.failed { None } else { fetch_queue(project) };
        let Some(mut items) = queue else {
            return String::new();
        };
        let is =
            |item: &serde_json::Value, field: &str, name: &Option<String>| name.as_ref().is_none_or(|name| item[field] == name.as_str());
        items.retain(|item| is(item, "stage", &self.stage) && is(item, "resource", &self.resource));
        format!("\n\n{}", render_queue(&items, "nothing is running or waiting now"))
    }
}

// They leave room for the reason at 80 columns; `runs show` has the year, the seconds and all digits.
const COLUMNS: [Column<'static>; 6] = [
    Column::word("started utc"),
    Column::key("stage"),
    Column::state("decision"),
    Column::number("took"),
    Column::text("reason"),
    Column::word("id"),
];

fn cells(entry: &RunEntry) -> Vec<String> {
    let (outcome, run) = (&entry.outcome, entry.run.as_ref());
    vec![
        run.map_or(String::new(), |run| run.started.strftime("%m-%d %R").to_string()),
        format!("{}:{}", outcome.stage, outcome.resource),
        decision_name(outcome.decision).to_owned(),
        run.map_or(String::new(), |run| describe_duration(run.duration_ms)),
        outcome.reason.clone(),
        short_id(&entry.id),
    ]
}

/// The digits of an id that a list shows: enough to name a run.
pub(super) fn short_id(id: &str) -> String {
    id.chars().take(8).collect()
}

pub(super) fn decision_name(decision: Decision) -> &'static str {
    match decision {
        Decision::Done => "done",
        Decision::Rejected => "rejected",
        Decision::Skipped => "skipped",
        Decision::Failed => "failed",
    }
}

/// `850ms`, `12.3s`, `4m5s`.
fn describe_duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds}ms"),
        1_000..60_000 => format!("{}.{}s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => format!("{}m{}s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let described = [0, 999, 1_000, 59_999, 60_000, 245_000].map(describe_duration);
        assert_eq!(described, ["0ms", "999ms", "1.0s", "59.9s", "1m0s", "4m5s"]);
    }
}
