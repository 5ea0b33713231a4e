//! The whole run: the year, the swaps under load, the control, and the claims that must hold.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;

use crate::{
    control::{self, Control},
    flights::MONTHS,
    folder,
    months::{self, Month, Retraining, Year},
    server::Server,
    swap::{self, Swaps},
};

/// The gain in AUC that retraining must bring on this data. scikit-learn's trees, retrained monthly on all earlier months, gain 0.02 to
/// 0.045.
const LEAST_GAIN: f64 = 0.015;
/// The control's months up to this one are real.
const CONTROL_BEGINS_AFTER: usize = 3;

/// What to run.
pub struct Demo {
    /// The `tidemill` program.
    pub tidemill: PathBuf,
    /// The folder of the demo's projects, `flights` and `control`; what an earlier demo made there is removed, see [`folder::prepare`].
    pub folder: PathBuf,
    /// The months, in order: see [`files`](crate::flights::files).
    pub files: Vec<String>,
    /// Whether the control runs.
    pub with_control: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// A line for each month.
    pub months: Vec<Month>,
    /// Trainings after the first.
    pub retrainings: Vec<Retraining>,
    /// Requests of the whole run that were not answered with 200 and a score.
    pub failed_requests: u64,
    /// SHA-256 of the champion's `model.onnx`; `None` before the first training.
    pub champion_digest: Option<String>,
    /// The control's decisions to train after the first.
    pub control_retrainings: usize,
    /// The control's months with at least one drifted column.
    pub control_drifted: usize,
    /// Mean difference of the served model's AUC and the first one's, May to October; 0 if fewer than twelve months were played.
    pub live_over_static: f64,
    /// Moves of the alias under load.
    pub swaps: u32,
    /// Requests meanwhile.
    pub requests_during_swaps: u64,
}

impl Demo {
    /// Plays the months. `step` prints a line of progress.
    ///
    /// # Errors
    /// `Input` for a folder that is not the demo's own; otherwise what the program or the store answered.
    pub fn run(&self, step: &dyn Fn(&str)) -> Result<Summary> {
        let files = &self.files;
        folder::prepare(&self.folder)?;
        step("months of flights pass through `tidemill up` in order");
        let server = Server::start(&self.tidemill, &folder::flights_project(&self.folder), &[])?;
        let mut year = Year::default();
        for file in files {
            let month = year.play(&server, file)?;
            step(&format!(
                "{}: {} flights, {} predicted, {} columns drifted, champion {}",
                month.month,
                month.rows,
                month.predicted,
                month.drifted,
                month.champion.map_or("none yet".into(), |v| format!("v{v}"))
            ));
        }
        step("the model of the first training scores the same months");
        let (months, retrainings) = year.table(&server, files)?;
        step("the champion is swapped while clients send requests without pause");
        let swaps = swap_under_load(&server, files)?;
        let champion = server.champion("late")?;
        server.stop()?;
        let control = self.control(files, step)?;
        let gain = months::auc_gain(&months);
        Ok(Summary {
            failed_requests: swaps.failed + year.failed_requests(),
            champion_digest: champion.map(|champion| champion.onnx_digest.to_string()),
            control_retrainings: control.retrainings,
            control_drifted: control.drifted,
            live_over_static: if months.len() == MONTHS { gain } else { 0.0 },
            swaps: swaps.swaps,
            requests_during_swaps: swaps.requests,
            months,
            retrainings,
        })
    }

    fn control(&self, files: &[String], step: &dyn Fn(&str)) -> Result<Control> {
        if !self.with_control || files.len() <= CONTROL_BEGINS_AFTER {
            return Ok(Control::default());
        }
        step("the control: from April on, days drawn from January to March");
        let control = control::run(&self.tidemill, &folder::control_project(&self.folder), files, step)?;
        step(&format!(
            "control: {} windows drifted, {} retrainings",
            control.drifted, control.retrainings
        ));
        Ok(control)
    }
}

/// Nothing can be swapped while there is one version.
fn swap_under_load(server: &Server, files: &[String]) -> Result<Swaps> {
    let last = files.last().context("no month was played")?;
    match server.champion("late")? {
        Some(champion) if champion.version > 1 => swap::under_load(server, last),
        _ => Ok(Swaps {
            swaps: 0,
            requests: 0,
            failed: 0,
        }),
    }
}

impl Summary {
    /// Whether the whole year was played; a part of it cannot show what the year must.
    pub fn is_whole(&self) -> bool {
        self.months.len() == MONTHS
    }

    /// Fails unless the demo's claims hold. Those about the year are checked if all of it was played.
    ///
    /// # Errors
    /// The claim that does not hold, with the number.
    pub fn check(&self) -> Result<()> {
        if let Some(other) = self
            .retrainings
            .iter()
            .find(|r| !r.cause.contains("drift") && !r.cause.contains("accuracy"))
        {
            bail!(
                "a retraining in {} has the cause `{}`: it must be drift or lost accuracy",
                other.month,
                other.cause
            );
        }
        ensure!(self.failed_requests == 0, "{} requests failed", self.failed_requests);
        ensure!(
            self.control_retrainings == 0,
            "the control was retrained {} times without drift",
            self.control_retrainings
        );
        ensure!(self.control_drifted == 0, "the control drifted in {} windows", self.control_drifted);
        if self.is_whole() {
            ensure!(!self.retrainings.is_empty(), "the model was never retrained");
            ensure!(
                self.live_over_static >= LEAST_GAIN,
                "the live model's AUC is {:+.4} over the never-retrained one's from May to October: at least {LEAST_GAIN:+} was due",
                self.live_over_static
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(months: usize) -> Summary {
        let month = Month {
            month: "2013-01".into(),
            rows: 1,
            predicted: 0,
            drifted: 0,
            drifted_columns: Vec::new(),
            champion: None,
            auc_live: None,
            auc_static: None,
            decision: String::new(),
        };
        Summary {
            months: vec![month; months],
            retrainings: vec![Retraining {
                month: "2013-04".into(),
                cause: "drift".into(),
                reason: String::new(),
                version: Some(2),
            }],
            failed_requests: 0,
            champion_digest: None,
            control_retrainings: 0,
            control_drifted: 0,
            live_over_static: 0.02,
            swaps: 6,
            requests_during_swaps: 200,
        }
    }

    type Damage = fn(&mut Summary);

    #[test]
    fn each_claim_is_checked() {
        summary(12).check().unwrap();
        let broken: [(&str, Damage); 6] = [
            ("3 requests failed", |s| s.failed_requests = 3),
            ("+0.0100", |s| s.live_over_static = 0.01),
            ("never retrained", |s| s.retrainings.clear()),
            ("`schedule`", |s| s.retrainings[0].cause = "schedule".into()),
            ("retrained 1 times", |s| s.control_retrainings = 1),
            ("drifted in 2 windows", |s| s.control_drifted = 2),
        ];
        for (part, damage) in broken {
            let mut whole = summary(12);
            damage(&mut whole);
            let error = whole.check().unwrap_err().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
        // A part of the year says nothing about the gain.
        let mut part = summary(3);
        part.live_over_static = 0.0;
        part.retrainings.clear();
        part.check().unwrap();
    }
}
