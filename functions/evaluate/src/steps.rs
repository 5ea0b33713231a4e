//! The steps of an evaluation: score candidate and champion, compute slices, check the gates, write the record.

use tidemill_core::{
    Error, ErrorKind, Finding, Host, Level, ObjectsExt, Outcome, Result, Severity, Trigger,
    gate::Metrics,
    layout,
    record::{Evaluation, MetricSlice, ModelAlias, ModelVersion, OutcomeRecord, TrainingResult},
    spec::Model,
};

use crate::{
    gates::check_gates,
    holdout::{Holdout, ScoredModel},
};

/// Maximum number of values of a slice column that get metrics: the most frequent ones.
const MAX_SLICE_VALUES: usize = 100;

pub(crate) fn run(trigger: &Trigger, model: &Model, host: &dyn Host) -> Result<Outcome> {
    let outcome: OutcomeRecord = host.objects().get_json(&trigger.key)?;
    let training: TrainingResult = serde_json::from_value(outcome.result)
        .map_err(|error| Error::input(format!("`{}` does not hold a training: {error}", trigger.key)))?;
    let set = &training.features;
    let holdout = Holdout::read(set, training.task, host)?;
    let all: Vec<usize> = (0..holdout.label.len()).collect();
    host.report_progress(0.2, "scoring the candidate");
    let candidate = ScoredModel {
        onnx: training.onnx.clone(),
        onnx_digest: training.onnx_digest.clone(),
        transform: set.transform.clone(),
        transform_digest: set.transform_digest.clone(),
        classes: set.classes.clone(),
    };
    let scores = holdout.scores(&candidate, host)?;
    let metrics = holdout.metrics(&scores, &all);
    host.report_progress(0.6, "scoring the champion");
    let (champion, mut findings) = score_champion(model, &holdout, &all, host)?;
    let slices = score_slices(model, &holdout, &scores)?;
    let failed = check_gates(
        &model.gates,
        &metrics,
        champion.as_ref().map(|(_, metrics)| metrics),
        &training.metrics,
    );
    let (champion_version, champion) = champion.unzip();
    let evaluation = Evaluation {
        training,
        metrics,
        champion,
        champion_version,
        slices,
        failed,
    };
    let key = layout::evaluation(&model.name, &host.context().run_key, evaluation.champion_version);
    host.objects().create_json(&key, &evaluation)?;
    findings.extend(evaluation.failed.iter().cloned());
    let outcome_of = |reason: String| match evaluation.failed.is_empty() {
        true => Outcome::done(reason, &evaluation).with_findings(findings.clone()),
        false => Outcome::rejected(reason, findings.clone()).with_result(&evaluation),
    };
    Ok(outcome_of(describe(model, &evaluation)).with_as_of(outcome.as_of))
}

/// The champion's version and its metrics on the holdout.
type ChampionMetrics = (u32, Metrics);

/// Scores the champion on the same rows. A champion that cannot be scored on them is a finding, and the candidate is evaluated without it.
fn score_champion(model: &Model, holdout: &Holdout, all: &[usize], host: &dyn Host) -> Result<(Option<ChampionMetrics>, Vec<Finding>)> {
    let Some(alias) = host.objects().find_json::<ModelAlias>(&layout::alias(&model.name, "champion"))? else {
        return Ok((None, Vec::new()));
    };
    let version: ModelVersion = host.objects().get_json(&layout::version(&model.name, alias.version))?;
    match holdout.scores(&version.into(), host) {
        Ok(scores) => Ok((Some((alias.version, holdout.metrics(&scores, all))), Vec::new())),
        Err(error) if error.kind == ErrorKind::Input => {
            let message = format!("champion {} cannot be scored on this holdout: {}", alias.version, error.message);
            host.log(Level::Warning, &message);
            let finding = Finding {
                check: "champion".into(),
                target: model.name.clone(),
                severity: Severity::Warning,
                message,
                count: 0,
            };
            Ok((None, vec![finding]))
        }
        Err(error) => Err(error),
    }
}

fn score_slices(model: &Model, holdout: &Holdout, scores: &[f64]) -> Result<Vec<MetricSlice>> {
    let mut slices = Vec::new();
    for column in &model.slices {
        let values = holdout
            .columns
            .require(column)
            .map_err(|error| Error::config(format!("slices of `{}`: {}", model.name, error.message)))?;
        let mut by_value: Vec<(String, Vec<usize>)> = holdout.rows_by_value(values).into_iter().collect();
        by_value.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
        slices.extend(by_value.into_iter().take(MAX_SLICE_VALUES).map(|(value, rows)| MetricSlice {
            column: column.clone(),
            value,
            rows: rows.len() as u64,
            metrics: holdout.metrics(scores, &rows),
        }));
    }
    Ok(slices)
}

fn describe(model: &Model, evaluation: &Evaluation) -> String {
    let name = ["auc", "rmse"]
        .into_iter()
        .find(|name| evaluation.metrics.contains_key(*name))
        .unwrap_or("rows");
    let of = |metrics: &Metrics| metrics.get(name).copied().unwrap_or(f64::NAN);
    let against = match (&evaluation.champion, evaluation.champion_version) {
        (Some(champion), Some(version)) => format!(", champion {version} has {:.4}", of(champion)),
        _ => ", and there is no champion".to_owned(),
    };
    let gates = match evaluation.failed.len() {
        0 => format!("all {} gates passed", model.gates.len()),
        failed => format!("{failed} of {} gates failed", model.gates.len()),
    };
    format!("{gates}: {name} {:.4} on the holdout{against}", of(&evaluation.metrics))
}
