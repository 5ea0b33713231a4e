//! A model that was trained elsewhere becomes a candidate like any other. Whether it fits these features is for `evaluate` to see, which
//! has the engine to try it with.

use tidemill_core::{
    Digest, Error, ErrorKind, Host, Outcome, Result,
    record::FeatureSet,
    spec::{Model, Trainer},
};
use tidemill_ml::Transform;

use crate::candidate::{ModelSummary, write_candidate};

pub(crate) fn run(model: &Model, set: FeatureSet, transform: &Transform, host: &dyn Host) -> Result<Outcome> {
    let wanted = model.trainer.onnx.as_ref();
    let wanted = wanted.ok_or_else(|| Error::config(format!("the trainer of `{}` does not say which model it takes", model.name)))?;
    let from = Trainer::import_key(&model.name, wanted);
    let file = host.objects().get(&from).map_err(|error| match error.kind {
        ErrorKind::NotFound => Error::not_found(format!(
            "`{from}` is not there: put the model into the store with `tidemill models import {} <file>`, then `tidemill events retry`",
            model.name
        )),
        _ => error,
    })?;
    if Digest::sha256(&file) != *wanted {
        return Err(Error::input(format!(
            "`{from}` holds other bytes than its name says; delete it and import the model again"
        )));
    }
    let rows = [("train-rows", set.train_rows), ("validation-rows", set.validation_rows)];
    let learned = ModelSummary {
        rounds: 0,
        importances: Default::default(),
        metrics: rows.map(|(name, rows)| (name.to_owned(), rows as f64)).into_iter().collect(),
    };
    let training = write_candidate(model, set, &file, learned, host)?;
    let reason = format!(
        "took the model {} from elsewhere, for {} columns: {}",
        wanted.short(),
        transform.width(),
        transform.names().join(", ")
    );
    Ok(Outcome::done(reason, &training))
}
