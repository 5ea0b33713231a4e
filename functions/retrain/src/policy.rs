//! Why a model may be trained again, and what stands against it. A cause that holds is kept in the decision even where the model is
//! not trained: a cooldown hides nothing.

use jiff::Timestamp;
use tidemill_core::{
    Result,
    gate::Gate,
    record::MonitoringReport,
    spec::{Model, Retrain},
};

use crate::state::State;

/// Causes in the record's order, each with what a person reads.
pub(crate) fn window_causes(model: &Model, report: &MonitoringReport, state: &State, has_version: bool) -> Result<Vec<(String, String)>> {
    let rules = &model.retrain;
    let mut causes: Vec<(&str, String)> = Vec::new();
    if is_first(report, state, rules, has_version) {
        causes.push(("first", "no version serves yet".into()));
    }
    if rules.when.iter().any(|w| w == "drift") && report.drifted {
        causes.push(("drift", describe_drift(report)));
    }
    if let Some(why) = accuracy_cause(rules, report)? {
        causes.push(("accuracy", why));
    }
    let new = report.rows.saturating_sub(state.trained_rows);
    if rules.every_rows > 0 && state.trained.is_some() && new >= rules.every_rows {
        causes.push(("rows", format!("{new} new rows, {} asked for", rules.every_rows)));
    }
    if let Some(why) = schedule_cause(rules, report.as_of, state) {
        causes.push(("schedule", why));
    }
    Ok(causes.into_iter().map(|(cause, why)| (cause.to_owned(), why)).collect())
}

/// A first candidate that was rejected leaves the model without a version: new rows may do better. Where versions exist, a window
/// without predictions is one without traffic.
fn is_first(report: &MonitoringReport, state: &State, rules: &Retrain, has_version: bool) -> bool {
    report.version.is_none() && report.rows >= rules.minimum_rows && (state.trained.is_none() || !has_version)
}

fn describe_drift(report: &MonitoringReport) -> String {
    let drifted: Vec<&str> = report.drift.iter().filter(|c| c.drifted).map(|c| c.column.as_str()).collect();
    let named: Vec<String> = drifted.iter().take(5).map(|c| format!("`{c}`")).collect();
    let more = if drifted.len() > 5 {
        format!(" and {} more", drifted.len() - 5)
    } else {
        String::new()
    };
    format!("drift in {}{more}", named.join(", "))
}

fn accuracy_cause(rules: &Retrain, report: &MonitoringReport) -> Result<Option<String>> {
    let scopes = [("training".to_owned(), report.training.clone())].into();
    let mut held = Vec::new();
    for condition in rules.when.iter().filter(|w| *w != "drift") {
        let gate = Gate::parse(condition)?;
        if let Some((true, value, threshold)) = gate.evaluate(&report.metrics, &scopes) {
            held.push(format!(
                "`{gate}` holds: {value:.4} against {threshold:.4} over {} rows",
                report.labelled
            ));
        }
    }
    Ok((!held.is_empty()).then(|| held.join(", ")))
}

/// Whether so much data time has passed since the last training.
pub(crate) fn schedule_cause(rules: &Retrain, now: Timestamp, state: &State) -> Option<String> {
    let every = rules.every.filter(|every| !every.is_zero())?;
    let (_, trained) = state.trained?;
    (every.advance(trained, 1) <= now).then(|| format!("{every} since the last training at {trained}"))
}

/// What stands against training now, if anything does.
pub(crate) fn find_obstacle(rules: &Retrain, rows: u64, now: Timestamp, state: &State) -> Option<String> {
    let new = rows.saturating_sub(state.trained_rows);
    if rows < rules.minimum_rows {
        return Some(format!("{rows} rows are known and {} are needed", rules.minimum_rows));
    }
    let (_, trained) = state.trained?;
    if new < rules.minimum_new_rows {
        return Some(format!("{new} new rows have come and {} are needed", rules.minimum_new_rows));
    }
    let over = rules.cooldown.advance(trained, 1);
    (!rules.cooldown.is_zero() && now < over).then(|| format!("the cooldown lasts until {over} of data time"))
}
