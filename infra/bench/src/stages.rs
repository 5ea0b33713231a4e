//! Rows per second of the stages that read all rows, from the records of their runs in `tidemill up`: three months, then a month that is
//! predicted and monitored.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tidemill_core::record::{MonitoringReport, OutcomeRecord};
use tidemill_demo::months::Year;
use tidemill_harness::server::Server;

use crate::{Arguments, project};

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let (server, files) = project::with_champion(arguments)?;
    Year::default().play(&server, &files[3])?;
    let validate = rows_per_second(&server, "validate", "flights", |facts| facts["rows"].as_f64())?;
    let train = rows_per_second(&server, "train", "late", |facts| {
        Some(facts["metrics"]["train-rows"].as_f64()? + facts["metrics"]["validation-rows"].as_f64()?)
    })?;
    let monitor = rows_per_second(&server, "monitor", "late", |facts| {
        let report: MonitoringReport = serde_json::from_value(facts.clone()).ok()?;
        (report.predictions > 0).then_some((report.window_rows + report.predictions) as f64)
    })?;
    server.stop()?;
    println!("validate {validate:.0} rows/s, train {train:.0} rows/s (all rounds, twice), monitor {monitor:.0} rows/s (truth and log)");
    Ok(json!({ "validate_rows_per_second": validate, "train_rows_per_second": train, "monitor_rows_per_second": monitor }))
}

/// Rows per second of the fastest run of a stage whose result gives its number of rows.
fn rows_per_second(server: &Server, stage: &str, resource: &str, rows: impl Fn(&Value) -> Option<f64>) -> Result<f64> {
    let mut best = 0f64;
    for key in server.keys(&format!("outcomes/{stage}/{resource}/"))? {
        let outcome: OutcomeRecord = server.json(&key)?.context("an outcome vanished")?;
        let run = server.json::<Value>(&key.replacen("outcomes/", "runs/", 1))?;
        if let (Some(rows), Some(run)) = (rows(&outcome.result), run) {
            let seconds = run["duration-ms"].as_f64().context("a run has no duration")?.max(1.0) / 1e3;
            best = best.max(rows / seconds);
        }
    }
    Ok(best)
}
