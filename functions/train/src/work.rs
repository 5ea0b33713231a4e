//! The stage's work in its order: read both slices, train, export, write.

use tidemill_core::{
    Error, Host, ObjectsExt, Outcome, Result, Trigger,
    gate::Metrics,
    record::{FeatureSet, OutcomeRecord},
    spec::{Model, TrainerKind},
};
use tidemill_ml::{Matrix, TrainingOutput, model::Rows, onnx, train};

use crate::{
    candidate::{ModelSummary, write_candidate},
    import, read,
};

pub(crate) fn run(trigger: &Trigger, model: &Model, host: &dyn Host) -> Result<Outcome> {
    let outcome: OutcomeRecord = host.objects().get_json(&trigger.key)?;
    let set: FeatureSet = serde_json::from_value(outcome.result)
        .map_err(|error| Error::input(format!("`{}` does not hold a feature set: {error}", trigger.key)))?;
    let transform = read::read_transform(&set, host)?;
    if model.trainer.kind == TrainerKind::Onnx {
        return import::run(model, set, &transform, host).map(|done| done.with_as_of(outcome.as_of));
    }
    host.report_progress(0.02, "reading the features");
    let (rows, label) = read::read_slice(&set, &set.train, &transform, host)?;
    let (stop, stop_label) = read::read_slice(&set, &set.validation, &transform, host)?;
    let told = |share: f64| host.report_progress(0.1 + 0.85 * share, "training");
    let trained = train(
        &model.trainer,
        model.task,
        &set.classes,
        (&rows, &label),
        (&stop, &stop_label),
        &told,
    )?;
    let fitted = &trained.model;
    let names = transform.names();
    let file = onnx::export(fitted, &names, &set.classes);
    let learned = ModelSummary {
        rounds: fitted.rounds(),
        importances: fitted.importances(&names),
        metrics: metrics(&trained, (&rows, &label), stop_label.len()),
    };
    let training = write_candidate(model, set, &file, learned, host)?;
    let reason = format!(
        "trained on {} rows and {} columns in {} rounds",
        label.len() + stop_label.len(),
        names.len(),
        training.rounds
    );
    Ok(Outcome::done(reason, &training).with_as_of(outcome.as_of))
}

/// `train-loss` and `validation-loss`: mean log loss, or half the mean squared error; a slice without rows has none. The second is that of
/// the model that had not yet seen the stop slice.
fn metrics(trained: &TrainingOutput, (matrix, label): (&Matrix, &[f64]), stop_rows: usize) -> Metrics {
    let mut metrics = Metrics::new();
    metrics.insert("train-rows".into(), label.len() as f64);
    metrics.insert("train-loss".into(), trained.model.mean_loss(&Rows::new(matrix, label, &[])));
    metrics.insert("validation-rows".into(), stop_rows as f64);
    if stop_rows > 0 {
        metrics.insert("validation-loss".into(), trained.validation_loss);
    }
    metrics
}
