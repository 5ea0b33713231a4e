//! Adoption of a model that was trained elsewhere, as a candidate like any other. `evaluate`, which has the engine to run it, checks
//! whether it fits these features.

use std::collections::BTreeMap;

use tidemill_core::{
    Digest, Error, ErrorKind, Host, Result, layout,
    record::{FeatureSet, TrainingResult},
    spec::Model,
};
use tidemill_ml::Transform;

use crate::candidate::{ModelSummary, write_candidate};

pub(crate) fn import_model(model: &Model, set: FeatureSet, transform: &Transform, host: &dyn Host) -> Result<(String, TrainingResult)> {
    let digest = model.trainer.onnx.as_ref();
    let digest = digest.ok_or_else(|| Error::config(format!("the trainer of `{}` does not say which model it takes", model.name)))?;
    let file = read_model(&model.name, digest, host)?;
    let rows = [("train-rows", set.train_rows), ("validation-rows", set.validation_rows)];
    let summary = ModelSummary {
        rounds: 0,
        importances: BTreeMap::new(),
        metrics: rows.map(|(name, rows)| (name.to_owned(), rows as f64)).into_iter().collect(),
    };
    let training = write_candidate(model, set, &file, summary, host)?;
    let (digest, width, names) = (digest.short(), transform.width(), transform.names().join(", "));
    Ok((
        format!("took the model {digest} from elsewhere, for {width} columns: {names}"),
        training,
    ))
}

/// Reads the model's bytes, which must have the digest that names them.
fn read_model(model: &str, digest: &Digest, host: &dyn Host) -> Result<Vec<u8>> {
    let key = layout::import(model, digest);
    let file = host.objects().get(&key).map_err(|error| match error.kind {
        ErrorKind::NotFound => Error::not_found(format!(
            "`{key}` is not there: put the model into the store with `tidemill models import {model} <file>`, then `tidemill events retry`"
        )),
        _ => error,
    })?;
    if Digest::sha256(&file) != *digest {
        return Err(Error::input(format!(
            "`{key}` holds other bytes than its name says; delete it and import the model again"
        )));
    }
    Ok(file)
}
