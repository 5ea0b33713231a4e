//! The models of a project and the versions that serve them: what `up` says at its start, and what it warms up.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tidemill_core::{
    Error, ErrorKind, Result, layout,
    pipeline::Pipeline,
    record::{ModelAlias, ModelVersion, SignatureColumn},
    spec::ColumnType,
};
use tidemill_registry::CHAMPION;
use tidemill_store::Store;

/// A model of the project, and what serves it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelState {
    /// The model's name in `tidemill.toml`.
    pub name: String,
    /// The version that its alias `champion` points at; `None` if there is no model yet.
    pub champion: Option<u32>,
    /// The dataset that its features come from.
    pub dataset: String,
}

/// All models of a pipeline with their champions.
///
/// # Errors
/// What the store answers.
pub(crate) async fn list_models(store: &Store, pipeline: &Pipeline) -> Result<Vec<ModelState>> {
    let mut models = Vec::new();
    for model in pipeline.models.values() {
        let alias: Option<ModelAlias> = read(store, &layout::alias(&model.name, CHAMPION)).await?;
        models.push(ModelState {
            name: model.name.clone(),
            champion: alias.map(|alias| alias.version),
            dataset: pipeline
                .features
                .get(&model.features)
                .map(|f| f.dataset.clone())
                .unwrap_or_default(),
        });
    }
    Ok(models)
}

/// The path and the body of a request for one row of a version, made up from its signature; `None` if it takes no column.
pub(crate) async fn sample_request(store: &Store, model: &str, version: u32) -> Result<Option<(String, Vec<u8>)>> {
    let record: Option<ModelVersion> = read(store, &layout::version(model, version)).await?;
    let Some(inputs) = record.map(|record| record.signature.inputs).filter(|inputs| !inputs.is_empty()) else {
        return Ok(None);
    };
    let body = json!({ "inputs": inputs.iter().map(sample_input).collect::<Vec<_>>() });
    Ok(Some((
        format!("/v2/models/{model}/versions/{version}/infer"),
        body.to_string().into_bytes(),
    )))
}

fn sample_input(column: &SignatureColumn) -> Value {
    let (datatype, value) = match column.kind {
        ColumnType::Number => ("FP64", json!(0.0)),
        ColumnType::Integer => ("INT64", json!(0)),
        ColumnType::Boolean => ("BOOL", json!(false)),
        ColumnType::Text => ("BYTES", json!("")),
        ColumnType::Timestamp => ("BYTES", json!("1970-01-01T00:00:00Z")),
    };
    let value = if column.nullable { Value::Null } else { value };
    json!({ "name": column.name, "datatype": datatype, "shape": [1], "data": [value] })
}

async fn read<T: DeserializeOwned>(store: &Store, key: &str) -> Result<Option<T>> {
    let bytes = match store.get_record(key).await {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let value = serde_json::from_slice(&bytes).map_err(|e| Error::input(format!("`{key}` is not a record of this version: {e}")))?;
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_a_value_of_each_type() {
        let column = |kind, nullable| SignatureColumn {
            name: "x".into(),
            kind,
            nullable,
        };
        assert_eq!(
            sample_input(&column(ColumnType::Integer, false)),
            json!({ "name": "x", "datatype": "INT64", "shape": [1], "data": [0] })
        );
        assert_eq!(sample_input(&column(ColumnType::Text, true))["data"], json!([null]));
    }
}
