//! Runs: the ledger, with how each run went beside it.

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use tidemill_core::{
    Decision, Error, Result, layout,
    record::{OutcomeRecord, RunRecord},
    text::quoted_list,
    trigger_id,
};
use tidemill_run::Ledger;

use crate::{Catalog, READ_CONCURRENCY};

/// Ids that a message names.
const MAX_LISTED_IDS: usize = 5;

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

    /// The run whose trigger id or run key begins with `id`. A run key may have been used for several triggers, of which any is returned.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Input` if there are several.
    pub async fn run(&self, id: &str) -> Result<RunEntry> {
        let outcomes = Ledger::new(self.store.clone()).list_outcomes(None, None).await?;
        let mut found: Vec<OutcomeRecord> = outcomes
            .into_iter()
            .filter(|outcome| !id.is_empty() && (outcome_id(outcome).starts_with(id) || outcome.run_key.starts_with(id)))
            .collect();
        found.sort_by(|one, other| one.run_key.cmp(&other.run_key));
        found.dedup_by(|one, other| one.run_key == other.run_key);
        if found.len() > 1 {
            let ids = found.iter().take(MAX_LISTED_IDS).map(outcome_id);
            return Err(Error::input(format!(
                "{} runs begin with `{id}`, such as {}; write more of the id",
                found.len(),
                quoted_list(ids)
            )));
        }
        let entries = self.with_run_records(found).await;
        let entry = entries.into_iter().next();
        entry.ok_or_else(|| Error::not_found(format!("no run has an id or a run key that begins with `{id}`")))
    }

    pub(crate) async fn with_run_records(&self, outcomes: Vec<OutcomeRecord>) -> Vec<RunEntry> {
        let each = outcomes.into_iter().map(|outcome| async move {
            let id = outcome_id(&outcome);
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

/// The trigger's id, which names the outcome.
pub(crate) fn outcome_id(outcome: &OutcomeRecord) -> String {
    trigger_id(&outcome.stage, &outcome.resource, &outcome.trigger.key, &outcome.trigger.digest)
}
