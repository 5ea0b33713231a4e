//! The claims of the demo, judged by its measurements. What a part of the year cannot show is not checked, and says why.

use serde::Serialize;
use tidemill_core::text::plural;

use crate::{
    months::Retraining,
    summary::{FIRST_QUARTER, Measurements},
};

/// The gain in AUC that retraining must bring on this data. scikit-learn's trees, retrained monthly on all earlier months, gain 0.02 to
/// 0.045.
const MIN_GAIN: f64 = 0.015;
/// Why a claim about the year was not checked.
const PART: &str = "only all twelve months show it";

/// A claim of the demo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// What is claimed.
    pub claim: &'static str,
    /// What became of it.
    pub state: ClaimState,
    /// The measurement; for a claim that was not checked, why.
    pub reason: String,
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimState {
    /// The measurement is as claimed.
    Held,
    /// The measurement is otherwise.
    DidNotHold,
    /// Nothing was measured.
    NotChecked,
}

impl ClaimState {
    /// As text: `held`, `did not hold`, `not checked`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::DidNotHold => "did not hold",
            Self::NotChecked => "not checked",
        }
    }
}

/// Whether the measurement is as claimed, and the measurement; or why there is none.
type Judgement = Result<(bool, String), &'static str>;

impl Measurements {
    /// Judges all claims.
    pub(crate) fn judge(&self) -> Vec<Claim> {
        let judged = [
            ("each month's flights are validated, and a decision follows", self.judge_months()),
            ("January to March train the first model", self.judge_first_model()),
            ("every prediction request is answered with a score", self.judge_requests()),
            ("the champion changes under load without a failed request", self.judge_swaps()),
            ("only drift or lost accuracy leads to a retraining", self.judge_causes()),
            ("the model is retrained in the course of the year", self.judge_retrainings()),
            ("the retrained model beats the first one from May to October", self.judge_gain()),
            ("the control, without drift, is not retrained", self.judge_control()),
            ("no month of the control drifts", self.judge_control_drift()),
        ];
        let claim = |(claim, judgement): (&'static str, Judgement)| {
            let (state, reason) = match judgement {
                Ok((true, measured)) => (ClaimState::Held, measured),
                Ok((false, measured)) => (ClaimState::DidNotHold, measured),
                Err(why) => (ClaimState::NotChecked, why.to_owned()),
            };
            Claim { claim, state, reason }
        };
        judged.into_iter().map(claim).collect()
    }

    fn judge_months(&self) -> Judgement {
        let empty: Vec<&str> = self.months.iter().filter(|m| m.rows == 0).map(|m| m.month.as_str()).collect();
        match empty.is_empty() {
            true => {
                let rows: u64 = self.months.iter().map(|m| m.rows).sum();
                Ok((true, format!("{}, {rows} flights", plural(self.months.len(), "month"))))
            }
            false => Ok((false, format!("no flight of {} passed validation", empty.join(", ")))),
        }
    }

    fn judge_first_model(&self) -> Judgement {
        match &self.champion_digest {
            Some(digest) => Ok((true, format!("the champion is {}", digest.get(..12).unwrap_or(digest)))),
            None if self.months.len() < FIRST_QUARTER => {
                Err("no model exists yet: the first training happens when January to March are in")
            }
            None => Ok((false, "there is no champion".into())),
        }
    }

    fn judge_requests(&self) -> Judgement {
        let predicted: u64 = self.months.iter().map(|m| m.predicted).sum();
        match predicted == 0 && self.requests_during_swaps == 0 && self.failed_requests == 0 {
            true => Err("nothing was predicted: the first model serves from April on"),
            false => Ok((
                self.failed_requests == 0,
                format!("{predicted} flights predicted, {} requests failed", self.failed_requests),
            )),
        }
    }

    fn judge_swaps(&self) -> Judgement {
        match self.swaps {
            0 => Err("there are not two versions to change between: the first retraining makes the second one"),
            swaps => Ok((
                self.failed_during_swaps == 0,
                format!(
                    "{swaps} changes under {} requests, {} failed",
                    self.requests_during_swaps, self.failed_during_swaps
                ),
            )),
        }
    }

    fn judge_causes(&self) -> Judgement {
        let is_known = |retraining: &&Retraining| retraining.cause.contains("drift") || retraining.cause.contains("accuracy");
        if self.retrainings.is_empty() {
            return Err("the model was not retrained");
        }
        let other: Vec<String> = self
            .retrainings
            .iter()
            .filter(|retraining| !is_known(retraining))
            .map(|retraining| format!("the cause in {} is `{}`", retraining.month, retraining.cause))
            .collect();
        match other.is_empty() {
            true => Ok((true, plural(self.retrainings.len(), "retraining"))),
            false => Ok((false, other.join("; "))),
        }
    }

    fn judge_retrainings(&self) -> Judgement {
        match self.is_whole() {
            true => Ok((!self.retrainings.is_empty(), plural(self.retrainings.len(), "retraining"))),
            false => Err(PART),
        }
    }

    fn judge_gain(&self) -> Judgement {
        let gain = self.live_over_static.ok_or(PART)?;
        Ok((
            gain >= MIN_GAIN,
            format!("{gain:+.4} AUC on average, at least {MIN_GAIN:+.4} is due"),
        ))
    }

    fn judge_control(&self) -> Judgement {
        let retrainings = self.control_retrainings.ok_or_else(|| self.why_no_control())?;
        Ok((retrainings == 0, plural(retrainings, "retraining")))
    }

    fn judge_control_drift(&self) -> Judgement {
        let drifted = self.control_drifted.ok_or_else(|| self.why_no_control())?;
        Ok((drifted == 0, format!("{} drifted", plural(drifted, "month"))))
    }

    fn why_no_control(&self) -> &'static str {
        match self.months.len() <= FIRST_QUARTER {
            true => "the control differs from the year from April on, which was not played",
            false => "the control was left out",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flights::MONTHS, months::Month, summary::Summary};

    fn month(number: usize) -> Month {
        Month {
            month: format!("2013-{number:02}"),
            rows: 27_004,
            predicted: if number > FIRST_QUARTER { 27_000 } else { 0 },
            drifted: 0,
            drifted_columns: Vec::new(),
            champion: (number > FIRST_QUARTER).then_some(1),
            auc_live: None,
            auc_static: None,
            decision: "keep: nothing calls for training".into(),
        }
    }

    fn whole_year() -> Measurements {
        Measurements {
            months: (1..=MONTHS).map(month).collect(),
            retrainings: vec![Retraining {
                month: "2013-04".into(),
                cause: "drift".into(),
                reason: String::new(),
                version: Some(2),
            }],
            failed_requests: 0,
            champion_digest: Some("0123456789abcdef".into()),
            control_retrainings: Some(0),
            control_drifted: Some(0),
            live_over_static: Some(0.02),
            swaps: 6,
            requests_during_swaps: 1400,
            failed_during_swaps: 0,
        }
    }

    /// The first months alone.
    fn months(count: usize) -> Measurements {
        Measurements {
            months: (1..=count).map(month).collect(),
            retrainings: Vec::new(),
            champion_digest: (count >= FIRST_QUARTER).then(|| "0123456789abcdef".into()),
            control_retrainings: None,
            control_drifted: None,
            live_over_static: None,
            swaps: 0,
            requests_during_swaps: 0,
            ..whole_year()
        }
    }

    fn states(summary: &Summary) -> Vec<ClaimState> {
        summary.claims.iter().map(|claim| claim.state).collect()
    }

    type Damage = fn(&mut Measurements);

    #[test]
    fn each_claim_can_fail() {
        let summary = Summary::new(whole_year());
        assert!(summary.claims.iter().all(|claim| claim.state == ClaimState::Held), "{summary:#?}");
        summary.check().unwrap();
        let broken: [(usize, &str, Damage); 9] = [
            (0, "no flight of 2013-02 passed", |m| m.months[1].rows = 0),
            (1, "no champion", |m| m.champion_digest = None),
            (2, "3 requests failed", |m| m.failed_requests = 3),
            (3, "1400 requests, 2 failed", |m| m.failed_during_swaps = 2),
            (4, "2013-04 is `schedule`", |m| m.retrainings[0].cause = "schedule".into()),
            (5, "0 retrainings", |m| m.retrainings.clear()),
            (6, "+0.0100 AUC on average, at least +0.0150", |m| m.live_over_static = Some(0.01)),
            (7, "1 retraining", |m| m.control_retrainings = Some(1)),
            (8, "2 months drifted", |m| m.control_drifted = Some(2)),
        ];
        assert_eq!(broken.len(), summary.claims.len());
        for (index, part, damage) in broken {
            let mut measurements = whole_year();
            damage(&mut measurements);
            let summary = Summary::new(measurements);
            assert_eq!(summary.claims[index].state, ClaimState::DidNotHold, "{part}");
            let error = summary.check().unwrap_err().to_string();
            assert!(
                error.starts_with("1 of 9 claims did not hold: ") && error.contains(part),
                "{part}: {error}"
            );
        }
    }

    #[test]
    fn what_a_part_of_the_year_cannot_show_is_not_checked() {
        use ClaimState::{Held, NotChecked};
        for (count, held) in [(1, 1), (2, 1), (3, 2), (4, 3), (11, 3)] {
            let summary = Summary::new(months(count));
            let mut expected = vec![Held; held];
            expected.resize(summary.claims.len(), NotChecked);
            assert_eq!(states(&summary), expected, "{count} months");
            summary.check().unwrap();
            assert!(summary.claims.iter().all(|claim| !claim.reason.is_empty()));
        }
        let first = &Summary::new(months(2)).claims[1];
        assert!(first.reason.contains("no model exists yet"), "{first:?}");
    }

    #[test]
    fn a_control_that_did_not_run_says_why() {
        let reason = |measurements: Measurements| Summary::new(measurements).claims[7].reason.clone();
        assert!(reason(months(3)).contains("from April on"));
        let mut without = whole_year();
        (without.control_retrainings, without.control_drifted) = (None, None);
        assert_eq!(reason(without), "the control was left out");
    }

    #[test]
    fn json_has_measurements_and_claims_side_by_side() {
        let value = serde_json::to_value(Summary::new(months(1))).unwrap();
        assert_eq!(value["months"][0]["rows"], 27_004);
        assert!(value["champion_digest"].is_null() && value["control_retrainings"].is_null());
        assert_eq!(value["claims"][0]["state"], "held");
        assert_eq!(value["claims"][8]["state"], "not-checked");
        for state in [ClaimState::Held, ClaimState::DidNotHold, ClaimState::NotChecked] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str().replace(' ', "-"));
        }
    }
}
