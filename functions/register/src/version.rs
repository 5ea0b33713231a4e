//! The version that follows from an evaluation.

use tidemill_core::{
    RunContext,
    record::{Evaluation, ModelVersion, OutcomeRecord},
};

/// The key of the evaluation, or of the outcome itself if the evaluation wrote no object.
pub(crate) fn evaluation_key<'a>(record: &'a OutcomeRecord, trigger: &'a str) -> &'a str {
    record
        .outputs
        .iter()
        .map(|output| output.key.as_str())
        .find(|key| key.ends_with("/evaluation.json"))
        .unwrap_or(trigger)
}

/// The record of a version. The same evaluation and number always give the same record.
pub(crate) fn from_evaluation(model: &str, number: u32, evaluation: &Evaluation, key: &str, context: &RunContext) -> ModelVersion {
    let (training, features) = (&evaluation.training, &evaluation.training.features);
    ModelVersion {
        model: model.to_owned(),
        version: number,
        as_of: context.as_of,
        task: training.task,
        onnx: training.onnx.clone(),
        onnx_digest: training.onnx_digest.clone(),
        transform: features.transform.clone(),
        transform_digest: features.transform_digest.clone(),
        profile: features.profile.clone(),
        signature: features.signature.clone(),
        classes: features.classes.clone(),
        metrics: evaluation.metrics.clone(),
        evaluation: key.to_owned(),
        request: features.request.clone(),
    }
}
