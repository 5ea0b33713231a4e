//! The whole run: the year, the swaps under load, the control.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tidemill_core::text::plural;

use crate::{
    control::{self, Control},
    flights::MONTHS,
    folder,
    months::{self, Year},
    server::Server,
    summary::{FIRST_QUARTER, Measurements, Summary},
    swap::{self, Swaps},
};

/// What to run.
pub struct Demo {
    /// The `tidemill` program.
    pub tidemill: PathBuf,
    /// The folder of the demo's projects, `flights` and `control`; what an earlier demo made there is removed, see [`folder::prepare`].
    pub folder: PathBuf,
    /// The months, in order: see [`files`](crate::flights::files).
    pub files: Vec<String>,
    /// Whether the control is wanted; [`has_control`](Self::has_control) says whether it runs.
    pub with_control: bool,
}

impl Demo {
    /// Whether the control runs: up to March it would be the year itself.
    pub fn has_control(&self) -> bool {
        self.with_control && self.files.len() > FIRST_QUARTER
    }

    /// Plays the months. `step` prints a line of progress.
    ///
    /// # Errors
    /// Those of [`folder::prepare`] and [`folder::check_room`]; otherwise what the program or the store answered.
    pub fn run(&self, step: &dyn Fn(&str)) -> Result<Summary> {
        let files = &self.files;
        let _lock = folder::prepare(&self.folder)?;
        step("`tidemill up` starts; for its first start on a machine it compiles the components");
        let server = Server::start(&self.tidemill, &folder::flights_project(&self.folder), &[])?;
        step("months of flights pass through it in order");
        let mut year = Year::default();
        for file in files {
            let month = year.play(&server, file)?;
            step(&format!(
                "{}: {} flights, {} predicted, {} drifted, champion {}",
                month.month,
                month.rows,
                month.predicted,
                plural(month.drifted_columns.len(), "column"),
                month.champion.map_or("none yet".into(), |v| format!("v{v}"))
            ));
        }
        let champion = server.champion("late")?;
        if champion.is_some() {
            step("the model of the first training scores the same months");
        }
        let (months, retrainings) = year.table(&server, files)?;
        let swaps = match champion.is_some_and(|champion| champion.version > 1) {
            true => {
                step("the champion is swapped while clients send requests without pause");
                swap::under_load(&server, files.last().context("no month was played")?)?
            }
            false => Swaps::default(),
        };
        let champion = server.champion("late")?;
        server.stop()?;
        let control = self.control(files, step)?;
        Ok(Summary::new(Measurements {
            failed_requests: swaps.failed + year.failed_requests(),
            champion_digest: champion.map(|champion| champion.onnx_digest.to_string()),
            control_retrainings: control.as_ref().map(|control| control.retrainings),
            control_drifted: control.as_ref().map(|control| control.drifted),
            live_over_static: (months.len() == MONTHS).then(|| months::auc_gain(&months)),
            swaps: swaps.swaps,
            requests_during_swaps: swaps.requests,
            failed_during_swaps: swaps.failed,
            months,
            retrainings,
        }))
    }

    fn control(&self, files: &[String], step: &dyn Fn(&str)) -> Result<Option<Control>> {
        if !self.has_control() {
            return Ok(None);
        }
        step("the control: from April on, days drawn from January to March");
        let control = control::run(&self.tidemill, &folder::control_project(&self.folder), files, step)?;
        step(&format!(
            "control: {} drifted, {}",
            plural(control.drifted, "month"),
            plural(control.retrainings, "retraining")
        ));
        Ok(Some(control))
    }
}
