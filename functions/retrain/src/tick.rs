//! A schedule's or a person's tick. What it trains on is what the last decided window knew: rows that came since belong to a window
//! that is still open. A person's tick heeds neither cooldown nor minima.

use jiff::Timestamp;
use serde::Deserialize;
use tidemill_core::{
    Error, Host, ObjectsExt, Outcome, Result, Trigger,
    record::{DriftDecision, Report, RetrainDecision},
    spec::Model,
    time::key_time,
};

use crate::{causes, decide, state};

/// `ticks/retrain/<model>/<time>.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Tick {
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
    let tick: Tick = host.objects().get_json(&trigger.key)?;
    let time = key_time(tick.as_of);
    let key = format!("{}{time}.json", state::ticks_prefix(&model.name));
    if let Some(decided) = host.objects().find_json::<DriftDecision>(&key)? {
        let report = report(&decided, host)?;
        return decide::commit(&key, decided, &report, host);
    }
    let Some(latest) = latest(&model.name, host)? else {
        return Ok(Outcome::skipped(format!(
            "no window of `{}` has been decided yet, so there is nothing to train on",
            model.name
        )));
    };
    let report = report(&latest, host)?;
    let state = ticks(&model.name, &latest, &time, host)?;
    let person = tick.cause.as_deref() == Some("person") || tick.who.is_some();
    let causes = match person {
        true => vec![("person".to_owned(), asked(&tick))],
        false => causes::schedule(&model.retrain, report.as_of, &state)
            .map(|why| ("schedule".to_owned(), why))
            .into_iter()
            .collect(),
    };
    let request = format!("requests/{}/{time}-tick.json", model.name);
    decide::commit(
        &key,
        decide::decision(model, &report, &state, causes, request, !person),
        &report,
        host,
    )
}

fn asked(tick: &Tick) -> String {
    let who = tick.who.as_deref().unwrap_or("a person");
    match &tick.why {
        Some(why) => format!("{who} asked: {why}"),
        None => format!("{who} asked"),
    }
}

/// The decision of the latest window.
fn latest(model: &str, host: &dyn Host) -> Result<Option<DriftDecision>> {
    let keys = host.objects().list_all(&format!("decisions/{model}/"))?;
    let ticks = state::ticks_prefix(model);
    match keys.iter().rfind(|meta| !meta.key.starts_with(&ticks)) {
        Some(meta) => host.objects().get_json(&meta.key).map(Some),
        None => Ok(None),
    }
}

/// The state after the latest window and the ticks before this one.
fn ticks(model: &str, latest: &DriftDecision, time: &str, host: &dyn Host) -> Result<state::State> {
    let mut state = state::after(latest, host)?;
    let prefix = state::ticks_prefix(model);
    for meta in host.objects().list_all(&prefix)? {
        if meta.key.as_str() < format!("{prefix}{time}").as_str() {
            let decision: DriftDecision = host.objects().get_json(&meta.key)?;
            if decision.decision == RetrainDecision::Train {
                state = state::later(state, state::after(&decision, host)?);
            }
        }
    }
    Ok(state)
}

fn report(decision: &DriftDecision, host: &dyn Host) -> Result<Report> {
    let key = decision.report.as_deref().ok_or_else(|| {
        Error::input(format!(
            "the decision for window `{}` of `{}` names no report",
            decision.window, decision.model
        ))
    })?;
    host.objects().get_json(key)
}
