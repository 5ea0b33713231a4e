//! The state of a project in a few numbers.

use std::collections::BTreeMap;

use serde::Serialize;
use tidemill_core::{Decision, Result};
use tidemill_registry::CHAMPION;
use tidemill_run::Ledger;

use crate::Catalog;

/// A summary of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Outcomes by stage.
    pub stages: BTreeMap<String, DecisionCounts>,
    /// The champion's version by model; `None` for a model without one.
    pub champions: BTreeMap<String, Option<u32>>,
    /// Dead letters that were not dropped.
    pub dead_letters: usize,
}

/// Outcomes of a stage, by decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DecisionCounts {
    /// The stage did its work.
    pub done: usize,
    /// It rejected its input.
    pub rejected: usize,
    /// There was nothing to do.
    pub skipped: usize,
    /// It failed for good.
    pub failed: usize,
}

impl Catalog {
    /// The summary. It reads every outcome: a server should cache it.
    pub async fn status(&self) -> Result<Status> {
        let mut status = Status::default();
        for outcome in Ledger::new(self.store.clone()).list_outcomes(None, None).await? {
            status.stages.entry(outcome.stage).or_default().add(outcome.decision);
        }
        for model in self.models().await? {
            let champion = self.alias(&model, CHAMPION).await?;
            status.champions.insert(model, champion.map(|alias| alias.version));
        }
        status.dead_letters = self.dead_letters().await?.iter().filter(|letter| !letter.dropped).count();
        Ok(status)
    }
}

impl DecisionCounts {
    fn add(&mut self, decision: Decision) {
        let count = match decision {
            Decision::Done => &mut self.done,
            Decision::Rejected => &mut self.rejected,
            Decision::Skipped => &mut self.skipped,
            Decision::Failed => &mut self.failed,
        };
        *count += 1;
    }
}
