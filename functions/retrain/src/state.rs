//! The state after earlier decisions: when the model was last trained, and on how many rows. All times are data times.

use jiff::Timestamp;
use tidemill_core::{
    Error, ErrorKind, Host, Level, ObjectsExt, Result,
    layout::{self, Key},
    record::{MonitoringReport, RetrainAction, RetrainDecision, UnjudgedWindow},
};

/// The fold's state before a decision.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    /// The window of the last decision to train, and that decision's clock.
    pub(crate) trained: Option<(Timestamp, Timestamp)>,
    /// Number of rows known then; 0 if the model was never trained.
    pub(crate) trained_rows: u64,
    /// Windows between the previous decision and this one that were not judged, the latest first.
    pub(crate) passed_over: Vec<UnjudgedWindow>,
}

/// The state before the report's window: that of the previous decision, and of scheduled trainings since.
pub(crate) fn state_before(report: &MonitoringReport, host: &dyn Host) -> Result<State> {
    let (mut state, mut passed_over) = (State::default(), Vec::new());
    let mut previous = report.previous;
    while let Some(window) = previous {
        match find_window(&report.model, window, host)? {
            Window::Decided(decision) => {
                state = state_after(&decision, host)?;
                break;
            }
            Window::Unjudged(unjudged) => {
                // Not in a circle, whatever the note says.
                previous = unjudged.previous.filter(|earlier| *earlier < window);
                passed_over.push(unjudged);
            }
        }
    }
    for decision in scheduled_decisions(&report.model, None, host)? {
        if decision.decision == RetrainAction::Train && decision.window < report.start {
            state = latest_state(state, state_after(&decision, host)?);
        }
    }
    state.passed_over = passed_over;
    Ok(state)
}

/// What is known of an earlier window.
enum Window {
    Decided(Box<RetrainDecision>),
    Unjudged(UnjudgedWindow),
}

fn find_window(model: &str, window: Timestamp, host: &dyn Host) -> Result<Window> {
    let key = layout::decision(model, window);
    if let Some(decision) = host.objects().find_json(&key)? {
        return Ok(Window::Decided(Box::new(decision)));
    }
    find_unjudged(model, window, host)?.map(Window::Unjudged).ok_or_else(|| {
        Error::transient(format!(
            "the decision for window `{window}` of `{model}` is not there yet (`{key}`); windows are decided in order"
        ))
    })
}

fn find_unjudged(model: &str, window: Timestamp, host: &dyn Host) -> Result<Option<UnjudgedWindow>> {
    for key in [layout::unreported_window(model, window), layout::undecided_window(model, window)] {
        if let Some(unjudged) = host.objects().find_json(&key)? {
            return Ok(Some(unjudged));
        }
    }
    Ok(None)
}

/// Whether a later window was decided without this one. Its report came too late then: decisions are final.
pub(crate) fn is_passed_over(model: &str, window: Timestamp, host: &dyn Host) -> Result<bool> {
    if find_unjudged(model, window, host)?.is_none() {
        return Ok(false);
    }
    let later = host.objects().list_all(&layout::decision_prefix(model))?.into_iter();
    let mut later = later.filter(|meta| matches!(Key::parse(&meta.key), Some(Key::Decision { window: other, .. }) if other > window));
    match later.next() {
        Some(next) => {
            let decision: RetrainDecision = host.objects().get_json(&next.key)?;
            Ok(decision.passed_over.contains(&window))
        }
        None => Ok(false),
    }
}

/// The decisions on scheduled events, by time, up to the one with the key `before`. What is no decision is passed over.
pub(crate) fn scheduled_decisions(model: &str, before: Option<&str>, host: &dyn Host) -> Result<Vec<RetrainDecision>> {
    let mut decisions = Vec::new();
    for meta in host.objects().list_all(&layout::scheduled_decision_prefix(model))? {
        let is_earlier = before.is_none_or(|before| meta.key.as_str() < before);
        if is_earlier && matches!(Key::parse(&meta.key), Some(Key::ScheduledDecision { .. })) {
            decisions.extend(read_readable(&meta.key, host)?);
        }
    }
    Ok(decisions)
}

/// A decision; `None`, with a warning, if the object is damaged.
pub(crate) fn read_readable(key: &str, host: &dyn Host) -> Result<Option<RetrainDecision>> {
    match host.objects().get_json(key) {
        Err(error) if error.kind == ErrorKind::Input => {
            host.log(Level::Warning, &format!("passed over: {error}"));
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// The state after a decision.
pub(crate) fn state_after(decision: &RetrainDecision, host: &dyn Host) -> Result<State> {
    let trained = match decision.trained {
        None => None,
        Some(window) if window == decision.window => Some((window, decision.as_of)),
        Some(window) => {
            let trained: Option<RetrainDecision> = host.objects().find_json(&layout::decision(&decision.model, window))?;
            // Without its record, the window's start stands for its clock.
            Some((window, trained.map_or(window, |trained| trained.as_of)))
        }
    };
    Ok(State {
        trained,
        trained_rows: decision.trained_rows,
        passed_over: Vec::new(),
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
