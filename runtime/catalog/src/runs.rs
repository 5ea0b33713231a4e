//! Runs: the ledger, with how each run went beside it.

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use tidemill_core::{
    Decision, Result, layout,
    record::{OutcomeRecord, RunRecord},
    trigger_id,
};
use tidemill_run::Ledger;

use crate::{Catalog, READ_CONCURRENCY};

/// Which runs to list. The default lists all.
#[derive(Debug, Clone, Default)]
pub struct RunQuery {
    /// Runs of this stage only.
    pub stage: Option<String>,
    /// Runs for this dataset or model only.
    pub resource: Option<String>,
    /// Runs that ended so only.
    pub decision: Option<Decision>,
    /// The latest runs, at most so many.
    pub limit: Option<usize>,
}

/// A run: its outcome, and how it went.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunEntry {
    /// The trigger's id.
    pub id: String,
    /// What was decided; it is final.
    pub outcome: OutcomeRecord,
    /// Duration, memory and attempts of the last attempt; `None` if they were not recorded.
    pub run: Option<RunRecord>,
}

impl RunEntry {
    /// When the last attempt started.
    pub fn start_time(&self) -> Option<Timestamp> {
        self.run.as_ref().map(|run| run.started)
    }
}

impl Catalog {
    /// Runs, the latest last. Runs without a record of how they went come first.
    pub async fn runs(&self, query: &RunQuery) -> Result<Vec<RunEntry>> {
        let ledger = Ledger::new(self.store.clone());
        let outcomes = ledger.list_outcomes(query.stage.as_deref(), query.resource.as_deref()).await?;
        let selected = outcomes
            .into_iter()
            .filter(|outcome| query.decision.is_none_or(|decision| outcome.decision == decision));
        let mut entries = self.with_run_records(selected.collect()).await;
        entries.sort_by_key(RunEntry::start_time);
        if let Some(limit) = query.limit {
            entries.drain(..entries.len().saturating_sub(limit));
        }
        Ok(entries)
    }

    async fn with_run_records(&self, outcomes: Vec<OutcomeRecord>) -> Vec<RunEntry> {
        let each = outcomes.into_iter().map(|outcome| async move {
            let id = trigger_id(&outcome.stage, &outcome.resource, &outcome.trigger.key, &outcome.trigger.digest);
            // The outcome is what counts: a run record that is missing or damaged hides no run.
            let run = self
                .find(&layout::run(&outcome.stage, &outcome.resource, &id))
                .await
                .unwrap_or_default();
            RunEntry { id, outcome, run }
        });
        stream::iter(each).buffered(READ_CONCURRENCY).collect().await
    }
}
