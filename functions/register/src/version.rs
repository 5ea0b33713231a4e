//! Versions: numbered from 1, created once, never changed.

use tidemill_core::{
    Error, Host, Objects, ObjectsExt, PutResult, Result,
    record::{Evaluation, ModelVersion, OutcomeRecord},
};

/// What the versions so far say about an evaluation.
pub(crate) struct Admitted {
    /// The version that was already made from it.
    pub(crate) own: Option<ModelVersion>,
    /// The next free number.
    pub(crate) next: u32,
}

/// Where a version stands.
pub(crate) fn key(model: &str, version: u32) -> String {
    format!("models/{model}/versions/{version}.json")
}

/// The evaluation's object, or the outcome itself where the evaluation wrote none.
pub(crate) fn evaluation_key<'a>(record: &'a OutcomeRecord, trigger: &'a str) -> &'a str {
    record
        .outputs
        .iter()
        .map(|output| output.key.as_str())
        .find(|key| key.ends_with("/evaluation.json"))
        .unwrap_or(trigger)
}

/// Looks through all versions. Their keys do not sort by number.
pub(crate) fn find(model: &str, evaluation: &str, objects: &dyn Objects) -> Result<Admitted> {
    let mut admitted = Admitted { own: None, next: 1 };
    for meta in objects.list_all(&format!("models/{model}/versions/"))? {
        let version: ModelVersion = objects.get_json(&meta.key)?;
        admitted.next = admitted.next.max(version.version.saturating_add(1));
        if version.evaluation == evaluation {
            admitted.own = Some(version);
        }
    }
    Ok(admitted)
}

/// Creates the version; `Transient` if another took the number meanwhile.
pub(crate) fn admit(model: &str, number: u32, evaluation: &Evaluation, evaluation_key: &str, host: &dyn Host) -> Result<ModelVersion> {
    let (training, features) = (&evaluation.training, &evaluation.training.features);
    let version = ModelVersion {
        model: model.to_owned(),
        version: number,
        as_of: host.context().as_of,
        task: training.task,
        onnx: training.onnx.clone(),
        onnx_digest: training.onnx_digest.clone(),
        transform: features.transform.clone(),
        transform_digest: features.transform_digest.clone(),
        profile: features.profile.clone(),
        signature: features.signature.clone(),
        classes: features.classes.clone(),
        metrics: evaluation.metrics.clone(),
        evaluation: evaluation_key.to_owned(),
        request: features.request.clone(),
    };
    let key = key(model, number);
    let bytes = json(&key, &version)?;
    match host.objects().create(&key, &bytes)? {
        PutResult::Written | PutResult::Unchanged => Ok(version),
        PutResult::Conflict => Err(Error::transient(format!("`{key}` was taken by another candidate meanwhile"))),
    }
}

/// As records are written: pretty, with a newline at the end.
pub(crate) fn json(key: &str, value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| Error::bug(format!("`{key}` cannot be written as JSON: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}
