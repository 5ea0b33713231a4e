//! The feature set as matrices and labels, computed with the set's own transform.

use tidemill_core::{Digest, Error, Host, Result, Table, record::FeatureSet, sql::quote_identifiers};
use tidemill_ml::{Columns, Matrix, Transform, model::encode_labels};

/// The transform, checked against the digest in the feature set.
pub(crate) fn read_transform(set: &FeatureSet, host: &dyn Host) -> Result<Transform> {
    let bytes = host.objects().get(&set.transform)?;
    let digest = Digest::sha256(&bytes);
    if digest != set.transform_digest {
        let (key, found, wanted) = (&set.transform, digest.short(), set.transform_digest.short());
        return Err(Error::input(format!(
            "`{key}` has the digest `{found}…`, and the feature set was made with `{wanted}…`; make the features again"
        )));
    }
    Transform::from_json(&bytes)
}

/// Reads the rows of a slice, in order, and their labels.
pub(crate) fn read_slice(set: &FeatureSet, key: &str, transform: &Transform, host: &dyn Host) -> Result<(Matrix, Vec<f64>)> {
    let names = transform.signature().inputs.iter().map(|input| &input.name).chain([&set.label]);
    let sql = format!("SELECT {} FROM slice", quote_identifiers(names));
    let batches = tidemill_sdk::query_batches(host.sql(), &sql, &[Table::parquet("slice", [key])])?;
    let columns = Columns::from_batches(&batches)?;
    let matrix = |values| Matrix {
        values,
        width: transform.width(),
    };
    if columns.rows() == 0 {
        return Ok((matrix(Vec::new()), Vec::new()));
    }
    let label = encode_labels(columns.require(&set.label)?, &set.classes)?;
    Ok((matrix(transform.apply(&columns)?), label))
}
