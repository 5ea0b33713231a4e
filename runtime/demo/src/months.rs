//! The year: each month is predicted first, then its labels arrive; the results are read from the store.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tidemill_core::{
    ColumnValues, Host as _, ObjectsExt as _, Table,
    record::{ModelVersion, MonitoringReport, RetrainAction, RetrainDecision},
};
use tidemill_ml::{Columns, Transform};
use tidemill_nn::{BackendChoice, open_backend};
use tidemill_scoring::Scorer;

use crate::{
    flights::{self, month_of, raw_key, window},
    folder::check_room,
    reader::open_reader,
    server::Server,
};

/// A line of the table: a month and its monitoring report.
#[derive(Debug, Clone, Serialize)]
pub struct Month {
    /// `2013-01`.
    pub month: String,
    /// Flights of the month, with or without a prediction.
    pub rows: u64,
    /// Flights that were predicted before their labels arrived; 0 before the first training.
    pub predicted: u64,
    /// Columns that drifted.
    pub drifted: u64,
    /// Their names; `_score` stands for the predictions.
    pub drifted_columns: Vec<String>,
    /// The version that predicted the month.
    pub champion: Option<u32>,
    /// Area under the ROC curve of the predictions as served; `None` if nothing was predicted.
    pub auc_live: Option<f64>,
    /// The same of version 1, which is never retrained. `None` until [`Year::table`] has scored the month, and without a champion.
    pub auc_static: Option<f64>,
    /// The decision about a training after the month, with its reason: `keep: nothing calls for training`.
    pub decision: String,
}

/// A training after the first.
#[derive(Debug, Clone, Serialize)]
pub struct Retraining {
    /// The month of the report that triggered it.
    pub month: String,
    /// The reasons, joined with `+`: `drift`, `accuracy`, `rows`, `schedule`, `person`.
    pub cause: String,
    /// The text of the decision.
    pub reason: String,
    /// The registered version; `None` if the gates rejected the candidate.
    pub version: Option<u32>,
}

/// Plays months and collects their results.
#[derive(Default)]
pub struct Year {
    months: Vec<Month>,
    failed: u64,
}

impl Year {
    /// Prediction requests of all months that were not answered with 200 and a score.
    pub fn failed_requests(&self) -> u64 {
        self.failed
    }

    /// Predicts the month if a model is served, then stores its labels and waits for the pipeline.
    ///
    /// # Errors
    /// Those of [`check_room`]; otherwise what the program or the store answered.
    pub fn play(&mut self, server: &Server, file: &str) -> Result<Month> {
        check_room(&server.project)?;
        if server.champion("late")?.is_some() {
            let inputs = flights::inputs(server)?;
            let staged = format!("demo/{}.parquet", month_of(file));
            let bytes = std::fs::read(file).with_context(|| format!("`{file}` cannot be read"))?;
            server.create(&staged, bytes)?;
            self.failed += flights::send(server, &flights::requests(server, &inputs, &staged, None)?)?;
        }
        server.run_command(&["put", "flights", file])?;
        server.wait_for_decision("late", &window(month_of(file))?)?;
        let month = read_month(server, month_of(file))?;
        self.months.push(month.clone());
        Ok(month)
    }

    /// Returns the months, with the scores of the first model, and the retrainings.
    pub fn table(&mut self, server: &Server, files: &[String]) -> Result<(Vec<Month>, Vec<Retraining>)> {
        let is_served = self.months.iter().any(|month| month.champion.is_some());
        // Before the first training there is no model to score with.
        if let Some(frozen) = is_served.then(|| Frozen::load(server)).transpose()? {
            for (month, file) in self.months.iter_mut().zip(files).filter(|(month, _)| month.champion.is_some()) {
                month.auc_static = Some(frozen.auc(server, &raw_key(file))?);
            }
        }
        Ok((self.months.clone(), retrainings(server)?))
    }
}

fn read_month(server: &Server, month: &str) -> Result<Month> {
    let start = window(month)?;
    let decision: RetrainDecision = server
        .json(&format!("decisions/late/{start}.json"))?
        .with_context(|| format!("nothing was decided for {month}"))?;
    let text = decision_text(&decision);
    let key = decision
        .report
        .with_context(|| format!("the decision for {month} names no report"))?;
    let report: MonitoringReport = server.json(&key)?.with_context(|| format!("`{key}` is not there"))?;
    let drifted_columns: Vec<String> = report.drift.iter().filter(|c| c.drifted).map(|c| c.column.clone()).collect();
    Ok(Month {
        month: month.into(),
        rows: report.window_rows,
        predicted: report.predictions,
        drifted: drifted_columns.len() as u64,
        drifted_columns,
        champion: report.version,
        auc_live: report.metrics.get("auc").copied(),
        auc_static: None,
        decision: text,
    })
}

fn decision_text(decision: &RetrainDecision) -> String {
    let verb = match decision.decision {
        RetrainAction::Train => "train",
        RetrainAction::Keep => "keep",
    };
    format!("{verb}: {}", decision.reason)
}

/// Every decision to train after the first.
pub fn retrainings(server: &Server) -> Result<Vec<Retraining>> {
    let mut by_request = BTreeMap::new();
    for key in server.keys("models/late/versions/")? {
        let version: ModelVersion = server.json(&key)?.context("a version vanished")?;
        by_request.insert(version.request, version.version);
    }
    let mut found = Vec::new();
    for key in server.keys("decisions/late/")? {
        let decision: RetrainDecision = server.json(&key)?.context("a decision vanished")?;
        if decision.decision == RetrainAction::Train && !decision.causes.iter().any(|c| c == "first") {
            found.push(Retraining {
                month: decision.window.to_string()[..7].to_owned(),
                cause: decision.causes.join("+"),
                reason: decision.reason,
                version: decision.request.and_then(|r| by_request.get(&r).copied()),
            });
        }
    }
    Ok(found)
}

/// Version 1, frozen.
struct Frozen {
    scorer: Scorer,
    sql: String,
}

impl Frozen {
    fn load(server: &Server) -> Result<Self> {
        let host = open_reader(server, "frozen")?;
        let version: ModelVersion = host.objects().get_json("models/late/versions/1.json")?;
        let transform = Transform::from_json(&host.objects().get(&version.transform)?)?;
        let graph = open_backend(BackendChoice::Tract).load(&version.onnx, &host.objects().get(&version.onnx)?)?;
        Ok(Self {
            scorer: Scorer::new(&version.onnx, transform, graph, version.task, version.classes),
            sql: std::fs::read_to_string(server.project.join("features/late.sql"))?
                .trim()
                .trim_end_matches(';')
                .to_owned(),
        })
    }

    fn auc(&self, server: &Server, key: &str) -> Result<f64> {
        let host = open_reader(server, "frozen")?;
        let sql = format!("SELECT * FROM ({}) WHERE late IS NOT NULL", self.sql);
        let batches = tidemill_sdk::query_batches(host.sql(), &sql, &[Table::parquet("flights", [key])])?;
        let columns = Columns::from_batches(&batches)?;
        let positive: Vec<f64> = self.scorer.score(&columns)?.scores().collect();
        let truth: Vec<bool> = match columns.get("late").context("the features have no label")? {
            ColumnValues::Boolean(v) => v.iter().map(|b| b.unwrap_or_default()).collect(),
            ColumnValues::Integer(v) => v.iter().map(|b| b.unwrap_or_default() == 1).collect(),
            _ => anyhow::bail!("the label `late` is neither true/false nor 0/1"),
        };
        tidemill_stats::auc(&positive, &truth).context("a month with one class only")
    }
}

/// The mean difference between the served and the first model from May to October.
pub fn auc_gain(months: &[Month]) -> f64 {
    let gains: Vec<f64> = months
        .iter()
        .filter(|m| ("2013-05".."2013-11").contains(&m.month.as_str()))
        .filter_map(|m| Some(m.auc_live? - m.auc_static?))
        .collect();
    gains.iter().sum::<f64>() / gains.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(name: &str, live: Option<f64>, first: Option<f64>) -> Month {
        Month {
            month: name.into(),
            rows: 1,
            predicted: 1,
            drifted: 0,
            drifted_columns: Vec::new(),
            champion: Some(1),
            auc_live: live,
            auc_static: first,
            decision: "keep: nothing calls for training".into(),
        }
    }

    #[test]
    fn the_gain_is_the_mean_from_may_to_october() {
        let months = [
            month("2013-04", Some(0.9), Some(0.1)),
            month("2013-05", Some(0.75), Some(0.5)),
            month("2013-06", None, Some(0.5)),
            month("2013-10", Some(0.75), Some(0.75)),
            month("2013-11", Some(0.9), Some(0.1)),
        ];
        assert!((auc_gain(&months) - 0.125).abs() < 1e-12);
        assert_eq!(auc_gain(&[]), 0.0);
    }

    #[test]
    fn a_decision_is_told_with_its_reason() -> Result<()> {
        let decision: RetrainDecision = serde_json::from_value(serde_json::json!({
            "model": "late", "window": "2013-01-01T00:00:00Z", "as-of": "2013-01-31T23:59:00Z", "decision": "keep", "causes": [],
            "reason": "no training yet: 27004 rows are known and 70000 are needed", "report": null, "request": null, "rows": 27004,
            "trained-rows": 0, "trained": null,
        }))?;
        assert_eq!(
            decision_text(&decision),
            "keep: no training yet: 27004 rows are known and 70000 are needed"
        );
        Ok(())
    }
}
