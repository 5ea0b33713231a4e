//! Trains a model on a feature set and writes it as ONNX, or adopts a model that was trained elsewhere.
//!
//! - *Reads* the outcome of `featurize` that triggers it, the feature set's transform, and its train and validation slices. The holdout
//!   belongs to `evaluate`.
//! - *Writes* `candidates/<model>/<run>/model.onnx`, and `training.json` in the same folder.
//! - *Decides* `done` with a [`TrainingResult`](tidemill_core::record::TrainingResult). `evaluate` decides whether the candidate is good
//!   enough.
//!
//! Equal feature sets give equal bytes: training is part of the component, on one thread, with the configured seed.

mod candidate;
mod features;
mod import;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use tidemill_core::{
    Error, Host, ObjectsExt, Outcome, Result, Stage, Trigger,
    gate::Metrics,
    record::{FeatureSet, OutcomeRecord, TrainingResult},
    spec::{Model, TrainerKind},
};
use tidemill_ml::{Matrix, Rows, TrainingOutput, Transform, onnx, train};

use crate::candidate::{ModelSummary, write_candidate};

/// Configuration, from `tidemill.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// The model to train.
    pub model: Model,
}

/// The stage.
#[derive(Debug)]
pub struct Train;

impl Stage for Train {
    const NAME: &'static str = "train";
    type Config = Config;

    /// Trains on the feature set in an outcome of `featurize`. The outcome's result is a [`TrainingResult`].
    fn run(trigger: &Trigger, Config { model }: Config, host: &dyn Host) -> Result<Outcome> {
        let outcome: OutcomeRecord = host.objects().get_json(&trigger.key)?;
        let set: FeatureSet = serde_json::from_value(outcome.result)
            .map_err(|error| Error::input(format!("`{}` does not hold a feature set: {error}", trigger.key)))?;
        let transform = features::read_transform(&set, host)?;
        let (reason, training) = match model.trainer.kind {
            TrainerKind::Onnx => import::import_model(&model, set, &transform, host)?,
            TrainerKind::Trees | TrainerKind::Linear => train_model(&model, set, &transform, host)?,
        };
        Ok(Outcome::done(reason, &training).with_as_of(outcome.as_of))
    }
}

fn train_model(model: &Model, set: FeatureSet, transform: &Transform, host: &dyn Host) -> Result<(String, TrainingResult)> {
    host.report_progress(0.02, "reading the features");
    let (rows, label) = features::read_slice(&set, &set.train, transform, host)?;
    let (validation, validation_label) = features::read_slice(&set, &set.validation, transform, host)?;
    let report = |share: f64| host.report_progress(0.1 + 0.85 * share, "training");
    let trained = train(
        &model.trainer,
        model.task,
        &set.classes,
        (&rows, &label),
        (&validation, &validation_label),
        &report,
    )?;
    let names = transform.names();
    let file = onnx::export(&trained.model, &names, &set.classes);
    let summary = ModelSummary {
        rounds: trained.model.rounds(),
        importances: trained.model.importances(&names),
        metrics: metrics(&trained, (&rows, &label), validation_label.len()),
    };
    let training = write_candidate(model, set, &file, summary, host)?;
    let (rows, columns, rounds) = (label.len() + validation_label.len(), names.len(), training.rounds);
    Ok((format!("trained on {rows} rows and {columns} columns in {rounds} rounds"), training))
}

/// `train-loss` and `validation-loss` are the mean log loss, or half the mean squared error; a slice without rows has none.
/// `validation-loss` is measured before the model is trained on the validation slice too.
fn metrics(trained: &TrainingOutput, (matrix, label): (&Matrix, &[f64]), validation_rows: usize) -> Metrics {
    let mut metrics = Metrics::new();
    metrics.insert("train-rows".into(), label.len() as f64);
    metrics.insert("train-loss".into(), trained.model.mean_loss(&Rows::new(matrix, label, &[])));
    metrics.insert("validation-rows".into(), validation_rows as f64);
    if validation_rows > 0 {
        metrics.insert("validation-loss".into(), trained.validation_loss);
    }
    metrics
}

tidemill_sdk::export!(Train);
