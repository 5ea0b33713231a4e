//! Scheduled events, written by a schedule or a person. The training uses the data files known at the last decided window: newer rows
//! belong to an open window. A person's event ignores the cooldown and the minimum numbers of rows.

use jiff::Timestamp;
use serde::Deserialize;
use tidemill_core::{
    Error, Host, ObjectsExt, Outcome, Result, Trigger,
    layout::{self, Key},
    record::{MonitoringReport, RetrainAction, RetrainDecision},
    spec::Model,
};

use crate::{
    decide,
    policy::{self, Cause},
    state,
};

/// `schedules/retrain/<model>/<time>.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ScheduledEvent {
    as_of: Timestamp,
    /// `schedule` or `person`; an event that names a person has the cause `person`.
    #[serde(default)]
    cause: Option<String>,
    #[serde(default)]
    who: Option<String>,
    #[serde(default)]
    why: Option<String>,
}

impl ScheduledEvent {
    fn is_from_person(&self) -> bool {
        self.cause.as_deref() == Some("person") || self.who.is_some()
    }

    /// The person's request, as a cause.
    fn person_cause(&self) -> Cause {
        let who = self.who.as_deref().unwrap_or("a person");
        Cause {
            name: "person",
            reason: match &self.why {
                Some(why) => format!("{who} asked: {why}"),
                None => format!("{who} asked"),
            },
        }
    }
}

/// Decides on an event, once.
pub(crate) fn decide_event(trigger: &Trigger, model: &Model, host: &dyn Host) -> Result<Outcome> {
    let event: ScheduledEvent = host.objects().get_json(&trigger.key)?;
    let key = layout::scheduled_decision(&model.name, event.as_of);
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
    let state = state_before_event(&model.name, &latest, &key, host)?;
    let rules = &model.retrain;
    let (causes, obstacle) = match event.is_from_person() {
        true => (vec![event.person_cause()], None),
        false => {
            let reason = policy::schedule_cause(rules, report.as_of, &state);
            let causes = reason.map(|reason| Cause { name: "schedule", reason }).into_iter().collect();
            (causes, policy::find_obstacle(rules, report.rows, report.as_of, &state))
        }
    };
    let request = layout::scheduled_request(&model.name, event.as_of);
    let decision = decide::weigh(&report, &state, causes, obstacle, request);
    decide::commit_decision(&key, decision, &report, host)
}

/// The decision of the latest window.
fn latest_decision(model: &str, host: &dyn Host) -> Result<Option<RetrainDecision>> {
    let keys = host.objects().list_all(&layout::decision_prefix(model))?;
    let windows = keys
        .iter()
        .rev()
        .filter(|meta| matches!(Key::parse(&meta.key), Some(Key::Decision { .. })));
    for meta in windows {
        if let Some(decision) = state::read_readable(&meta.key, host)? {
            return Ok(Some(decision));
        }
    }
    Ok(None)
}

/// The state after the latest window and the scheduled events before the one whose decision has this key.
fn state_before_event(model: &str, latest: &RetrainDecision, key: &str, host: &dyn Host) -> Result<state::State> {
    let mut state = state::state_after(latest, host)?;
    for decision in state::scheduled_decisions(model, Some(key), host)? {
        if decision.decision == RetrainAction::Train {
            state = state::latest_state(state, state::state_after(&decision, host)?);
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
