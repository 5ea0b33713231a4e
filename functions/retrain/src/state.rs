//! The state after earlier decisions: when the model was last trained, and on how many rows. All times are data times.

use jiff::Timestamp;
use tidemill_core::{
    Error, Host, ObjectsExt, Result, layout,
    record::{MonitoringReport, RetrainAction, RetrainDecision},
};

/// The fold's state before a decision.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    /// The window of the last decision to train, and that decision's clock.
    pub(crate) trained: Option<(Timestamp, Timestamp)>,
    /// Number of rows known then; 0 if the model was never trained.
    pub(crate) trained_rows: u64,
}

/// The state before the report's window: that of the previous decision, and of scheduled trainings since.
pub(crate) fn state_before(report: &MonitoringReport, host: &dyn Host) -> Result<State> {
    let model = &report.model;
    let mut state = match report.previous {
        None => State::default(),
        Some(previous) => {
            let key = layout::decision(model, previous);
            let decision: RetrainDecision = host.objects().find_json(&key)?.ok_or_else(|| {
                Error::transient(format!(
                    "the decision for window `{previous}` of `{model}` is not there yet (`{key}`); windows are decided in order"
                ))
            })?;
            state_after(&decision, host)?
        }
    };
    for meta in host.objects().list_all(&layout::scheduled_decision_prefix(model))? {
        let decision: RetrainDecision = host.objects().get_json(&meta.key)?;
        if decision.decision == RetrainAction::Train && decision.window < report.start {
            state = latest_state(state, state_after(&decision, host)?);
        }
    }
    Ok(state)
}

/// The state after a decision.
pub(crate) fn state_after(decision: &RetrainDecision, host: &dyn Host) -> Result<State> {
    let trained = match decision.trained {
        None => None,
        Some(window) if window == decision.window => Some((window, decision.as_of)),
        Some(window) => {
            let trained: RetrainDecision = host.objects().get_json(&layout::decision(&decision.model, window))?;
            Some((window, trained.as_of))
        }
    };
    Ok(State {
        trained,
        trained_rows: decision.trained_rows,
    })
}

/// The state with the later training.
pub(crate) fn latest_state(a: State, b: State) -> State {
    if (b.trained, b.trained_rows) > (a.trained, a.trained_rows) {
        b
    } else {
        a
    }
}
