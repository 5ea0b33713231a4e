//! What the demo measured, with its claims. It fails if a claim did not hold; one that was not checked does not fail it.

use anyhow::{Result, bail};
use serde::Serialize;
use tidemill_core::text::plural;

use crate::{
    claims::{Claim, ClaimState},
    flights::MONTHS,
    months::{Month, Retraining},
};

/// The first training follows this month, and the control's months up to it are real.
pub const FIRST_QUARTER: usize = 3;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Measurements {
    /// A line for each month.
    pub months: Vec<Month>,
    /// Trainings after the first.
    pub retrainings: Vec<Retraining>,
    /// Requests of the whole run that were not answered with 200 and a score.
    pub failed_requests: u64,
    /// SHA-256 of the champion's `model.onnx`; `None` before the first training.
    pub champion_digest: Option<String>,
    /// The control's decisions to train after the first; `None` if it did not run.
    pub control_retrainings: Option<usize>,
    /// The control's months with at least one drifted column; `None` if it did not run.
    pub control_drifted: Option<usize>,
    /// Mean difference of the served model's AUC and the first one's, May to October; `None` unless all twelve months were played.
    pub live_over_static: Option<f64>,
    /// Moves of the alias under load; 0 while there is only one version.
    pub swaps: u32,
    /// Requests meanwhile.
    pub requests_during_swaps: u64,
    /// Those of them that were not answered with 200 and a score.
    pub failed_during_swaps: u64,
}

/// The measurements and the claims.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// What was measured.
    #[serde(flatten)]
    pub measurements: Measurements,
    /// Every claim of the demo.
    pub claims: Vec<Claim>,
}

impl Summary {
    /// Judges the claims by the measurements.
    pub fn new(measurements: Measurements) -> Self {
        Self {
            claims: measurements.judge(),
            measurements,
        }
    }

    /// Fails unless each claim held or was not checked.
    ///
    /// # Errors
    /// The claims that did not hold, with what was measured.
    pub fn check(&self) -> Result<()> {
        let failed = self.claims.iter().filter(|claim| claim.state == ClaimState::DidNotHold);
        let failed: Vec<String> = failed.map(|claim| format!("{} ({})", claim.claim, claim.reason)).collect();
        if !failed.is_empty() {
            bail!(
                "{} of {} did not hold: {}",
                failed.len(),
                plural(self.claims.len(), "claim"),
                failed.join("; ")
            )
        }
        Ok(())
    }
}

impl Measurements {
    /// Whether the whole year was played; a part of it cannot show what the year must.
    pub fn is_whole(&self) -> bool {
        self.months.len() == MONTHS
    }
}
