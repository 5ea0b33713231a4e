//! One decision per window. A run that crashed after writing its decision finds it again and ends with the same outcome; another report for
//! the same window (revised by late labels) finds the window decided and changes nothing.

use jiff::Timestamp;
use tidemill_core::{
    Finding, Host, ObjectsExt, Outcome, Result, Severity, layout,
    record::{MonitoringReport, RetrainAction, RetrainDecision, TrainingRequest},
    spec::Model,
    text::{plural, quoted_list},
};

use crate::{
    policy::{self, Cause},
    state::{self, State},
};

/// Decides on the window of a report.
pub(crate) fn decide_window(model: &Model, report: &MonitoringReport, host: &dyn Host) -> Result<Outcome> {
    let key = layout::decision(&model.name, report.start);
    if let Some(decided) = host.objects().find_json::<RetrainDecision>(&key)? {
        if decided.report.as_deref() != Some(report.key.as_str()) {
            return Ok(Outcome::skipped(format!(
                "window {} is decided already, on an earlier report",
                report.start
            )));
        }
        return commit_decision(&key, decided, report, host);
    }
    if state::is_passed_over(&model.name, report.start, host)? {
        return Ok(Outcome::skipped(format!(
            "window {} was not judged in time: later windows are decided without it",
            report.start
        )));
    }
    let state = state::state_before(report, host)?;
    let has_version = !host.objects().list(&layout::version_prefix(&model.name), None, 1)?.is_empty();
    let causes = policy::window_causes(model, report, &state, has_version)?;
    let request = layout::request(&model.name, report.start);
    let obstacle = policy::find_obstacle(&model.retrain, report.rows, report.as_of, &state);
    let decision = weigh(report, &state, causes, obstacle, request);
    commit_decision(&key, decision, report, host)
}

/// Decides from the causes that hold and the obstacle to a training, if there is one.
pub(crate) fn weigh(
    report: &MonitoringReport,
    state: &State,
    causes: Vec<Cause>,
    obstacle: Option<String>,
    request: String,
) -> RetrainDecision {
    let train = !causes.is_empty() && obstacle.is_none();
    let why: Vec<&str> = causes.iter().map(|cause| cause.reason.as_str()).collect();
    let reason = match (why.is_empty(), obstacle) {
        (true, Some(obstacle)) if state.trained.is_none() => format!("no training yet: {obstacle}"),
        (true, _) => "nothing calls for training".to_owned(),
        (false, None) => why.join("; "),
        (false, Some(obstacle)) => format!("{}; but {obstacle}", why.join("; ")),
    };
    let passed_over: Vec<Timestamp> = state.passed_over.iter().map(|window| window.window).collect();
    let reason = match passed_over.as_slice() {
        [] => reason,
        windows => format!(
            "{reason}; {} not judged before it: {}",
            plural(windows.len(), "window"),
            quoted_list(windows)
        ),
    };
    RetrainDecision {
        model: report.model.clone(),
        window: report.start,
        as_of: report.as_of,
        decision: if train { RetrainAction::Train } else { RetrainAction::Keep },
        causes: causes.into_iter().map(|cause| cause.name.to_owned()).collect(),
        reason,
        report: Some(report.key.clone()),
        request: train.then_some(request),
        passed_over,
        rows: report.rows,
        trained_rows: if train { report.rows } else { state.trained_rows },
        trained: if train { Some(report.start) } else { state.trained.map(|t| t.0) },
    }
}

/// Writes the decision, then the request. After a crash in between, the next attempt finds the decision and writes the request.
pub(crate) fn commit_decision(key: &str, decision: RetrainDecision, report: &MonitoringReport, host: &dyn Host) -> Result<Outcome> {
    host.objects().create_json(key, &decision)?;
    if let Some(request) = &decision.request {
        let content = TrainingRequest {
            model: decision.model.clone(),
            window: decision.window,
            as_of: decision.as_of,
            data_files: report.data_files.clone(),
        };
        host.objects().create_json(request, &content)?;
    }
    let verb = match decision.decision {
        RetrainAction::Train => "train",
        RetrainAction::Keep => "keep",
    };
    let findings = decision
        .passed_over
        .iter()
        .map(|window| unjudged_finding(&decision.model, *window))
        .collect();
    let outcome = Outcome::done(format!("{verb}: {}", decision.reason), &decision);
    Ok(outcome.with_findings(findings).with_as_of(decision.as_of))
}

fn unjudged_finding(model: &str, window: Timestamp) -> Finding {
    Finding {
        check: "not-judged".into(),
        target: model.into(),
        severity: Severity::Warning,
        message: format!("window {window} was not judged: see its dead letter; this decision does not know of it"),
        count: 0,
    }
}
