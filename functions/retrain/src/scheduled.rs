//! A schedule's or a person's tick. What it trains on is what the last decided window knew: rows that came since belong to a window
//! that is still open. A person's tick heeds neither cooldown nor minima.

use jiff::Timestamp;
use serde::Deserialize;
use tidemill_core::{
    Error, Host, ObjectsExt, Outcome, Result, Trigger,
    record::{MonitoringReport, RetrainAction, RetrainDecision},
    spec::Model,
    time::key_time,
};

use crate::{decide, policy, state};

/// `schedules/retrain/<model>/<time>.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ScheduledEvent {
    as_of: Timestamp,
    /// `schedule` or `person`; a tick that names a person is a person's.
    #[serde(default)]
    cause: Option<String>,
    #[serde(default)]
    who: Option<String>,
    #[serde(default)]
    why: Option<String>,
}

pub(crate) fn run(trigger: &Trigger, model: &Model, host: &dyn Host) -> Result<Outcome> {
    let tick: ScheduledEvent = host.objects().get_json(&trigger.key)?;
    let time = key_time(tick.as_of);
    let key = format!("{}{time}.json", state::schedules_prefix(&model.name));
    if let Some(decided) = host.objects().find_json::<RetrainDecision>(&key)? {
        let report = read_report(&decided, host)?;
        return decide::commit_decision(&key, decided, &report, host);
    }
    let Some(latest) = latest_decision(&model.name, host)? else {
        return Ok(Outcome::skipped(format!(
            "no window of `{}` has been decided yet, so there is nothing to train on",
            model.name
        )));
    };
    let report = read_report(&latest, host)?;
    let state = state_before_event(&model.name, &latest, &time, host)?;
    let person = tick.cause.as_deref() == Some("person") || tick.who.is_some();
    let causes = match person {
        true => vec![("person".to_owned(), describe_request(&tick))],
        false => policy::schedule_cause(&model.retrain, report.as_of, &state)
            .map(|why| ("schedule".to_owned(), why))
            .into_iter()
            .collect(),
    };
    let request = format!("requests/{}/{time}-tick.json", model.name);
    decide::commit_decision(&key, decide::weigh(model, &report, &state, causes, request, !person), &report, host)
}

fn describe_request(tick: &ScheduledEvent) -> String {
    let who = tick.who.as_deref().unwrap_or("a person");
    match &tick.why {
        Some(why) => format!("{who} asked: {why}"),
        None => format!("{who} asked"),
    }
}

/// The decision of the latest window.
fn latest_decision(model: &str, host: &dyn Host) -> Result<Option<RetrainDecision>> {
    let keys = host.objects().list_all(&format!("decisions/{model}/"))?;
    let ticks = state::schedules_prefix(model);
    match keys.iter().rfind(|meta| !meta.key.starts_with(&ticks)) {
        Some(meta) => host.objects().get_json(&meta.key).map(Some),
        None => Ok(None),
    }
}

/// The state after the latest window and the ticks before this one.
fn state_before_event(model: &str, latest: &RetrainDecision, time: &str, host: &dyn Host) -> Result<state::State> {
    let mut state = state::state_after(latest, host)?;
    let prefix = state::schedules_prefix(model);
    for meta in host.objects().list_all(&prefix)? {
        if meta.key.as_str() < format!("{prefix}{time}").as_str() {
            let decision: RetrainDecision = host.objects().get_json(&meta.key)?;
            if decision.decision == RetrainAction::Train {
                state = state::latest_state(state, state::state_after(&decision, host)?);
            }
        }
    }
    Ok(state)
}

fn read_report(decision: &RetrainDecision, host: &dyn Host) -> Result<MonitoringReport> {
    let key = decision.report.as_deref().ok_or_else(|| {
        Error::input(format!(
            "the decision for window `{}` of `{}` names no report",
            decision.window, decision.model
        ))
    })?;
    host.objects().get_json(key)
}
