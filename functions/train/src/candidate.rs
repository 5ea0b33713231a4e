//! A candidate: the model as ONNX, and the record of what it was trained on.

use std::collections::BTreeMap;

use tidemill_core::{
    Error, Host, ObjectsExt, Result,
    gate::Metrics,
    layout,
    record::{FeatureSet, TrainingResult},
    spec::Model,
};

/// The part of the record that describes the model itself.
pub(crate) struct ModelSummary {
    /// Number of rounds in the model; 0 for a model from elsewhere.
    pub(crate) rounds: u32,
    /// Importances by transformed column; empty for a model from elsewhere.
    pub(crate) importances: BTreeMap<String, f64>,
    pub(crate) metrics: Metrics,
}

/// Writes `candidates/<model>/<run>/model.onnx` and `training.json` beside it.
pub(crate) fn write_candidate(
    model: &Model,
    set: FeatureSet,
    file: &[u8],
    summary: ModelSummary,
    host: &dyn Host,
) -> Result<TrainingResult> {
    let key = |file| layout::candidate_file(&model.name, &host.context().run_key, file);
    let onnx = key("model.onnx");
    let training = TrainingResult {
        model: model.name.clone(),
        task: model.task,
        onnx_digest: host.objects().create_immutable(&onnx, file)?,
        onnx,
        parameters: serde_json::to_value(&model.trainer)
            .map_err(|error| Error::bug(format!("the trainer cannot be written as JSON: {error}")))?,
        rounds: summary.rounds,
        importances: summary.importances,
        metrics: summary.metrics,
        features: set,
    };
    host.objects().create_json(&key("training.json"), &training)?;
    Ok(training)
}
