//! Causes of a training, and obstacles to it. A cause that holds is recorded in the decision even if an obstacle keeps the model: a
//! cooldown hides no cause.

use jiff::Timestamp;
use tidemill_core::{
    Result,
    gate::Gate,
    record::MonitoringReport,
    spec::{Model, Retrain},
};

use crate::state::State;

/// Maximum number of drifted columns that a reason names.
const MAX_NAMED_COLUMNS: usize = 5;

/// A cause that holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cause {
    /// The name in the record: `first`, `drift`, `accuracy`, `rows`, `schedule` or `person`.
    pub(crate) name: &'static str,
    /// The reason, for a person.
    pub(crate) reason: String,
}

/// The causes that hold for a window, in the record's order.
pub(crate) fn window_causes(model: &Model, report: &MonitoringReport, state: &State, has_version: bool) -> Result<Vec<Cause>> {
    let rules = &model.retrain;
    let causes = [
        ("first", first_cause(report, state, rules, has_version)),
        ("drift", drift_cause(rules, report)),
        ("accuracy", accuracy_cause(rules, report)?),
        ("rows", rows_cause(rules, report, state)),
        ("schedule", schedule_cause(rules, report.as_of, state)),
    ];
    let holds = |(name, reason): (&'static str, Option<String>)| reason.map(|reason| Cause { name, reason });
    Ok(causes.into_iter().filter_map(holds).collect())
}

/// If the first candidate was rejected, the model has no version: new rows may do better. If versions exist, a window without predictions
/// only had no traffic.
fn first_cause(report: &MonitoringReport, state: &State, rules: &Retrain, has_version: bool) -> Option<String> {
    let is_first = report.version.is_none() && report.rows >= rules.minimum_rows && (state.trained.is_none() || !has_version);
    is_first.then(|| "no version serves yet".to_owned())
}

fn drift_cause(rules: &Retrain, report: &MonitoringReport) -> Option<String> {
    if !report.drifted || !rules.when.iter().any(|condition| condition == "drift") {
        return None;
    }
    let drifted: Vec<String> = report
        .drift
        .iter()
        .filter(|c| c.drifted)
        .map(|c| format!("`{}`", c.column))
        .collect();
    let (named, others) = drifted.split_at(drifted.len().min(MAX_NAMED_COLUMNS));
    let more = match others.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("drift in {}{more}", named.join(", ")))
}

fn rows_cause(rules: &Retrain, report: &MonitoringReport, state: &State) -> Option<String> {
    let new = report.rows.saturating_sub(state.trained_rows);
    let holds = rules.every_rows > 0 && state.trained.is_some() && new >= rules.every_rows;
    holds.then(|| format!("{new} new rows, {} asked for", rules.every_rows))
}

fn accuracy_cause(rules: &Retrain, report: &MonitoringReport) -> Result<Option<String>> {
    let scopes = [("training".to_owned(), report.training.clone())].into();
    let mut held = Vec::new();
    for condition in rules.when.iter().filter(|w| *w != "drift") {
        let gate = Gate::parse(condition)?;
        if let Some((true, value, threshold)) = gate.evaluate(&report.metrics, &scopes) {
            let rows = report.labelled;
            held.push(format!("`{gate}` holds: {value:.4} against {threshold:.4} over {rows} rows"));
        }
    }
    Ok((!held.is_empty()).then(|| held.join(", ")))
}

/// Holds if the configured span of data time has passed since the last training.
pub(crate) fn schedule_cause(rules: &Retrain, now: Timestamp, state: &State) -> Option<String> {
    let every = rules.every.filter(|every| !every.is_zero())?;
    let (_, trained) = state.trained?;
    (every.advance(trained, 1) <= now).then(|| format!("{every} since the last training at {trained}"))
}

/// The obstacle to a training now, if there is one.
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
