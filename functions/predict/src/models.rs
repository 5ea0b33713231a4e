//! Models, versions and aliases in the store. An alias is read at each request, so that moving it takes effect immediately; a version never
//! changes and is cached.

use std::{collections::BTreeSet, rc::Rc};

use serde_json::{Value, json};
use tidemill_core::{
    Digest, Error, ErrorKind, Result,
    record::{ModelAlias, ModelVersion, SignatureColumn},
    spec::{ColumnType, Task},
};
use tidemill_ml::Transform;

use tidemill_scoring::Scorer;

use crate::{
    host::PredictHost,
    loaded::{LoadedModel, Server},
};

/// The alias of requests that name no version.
const CHAMPION: &str = "champion";

/// Names of all models that have a version.
pub async fn list_models(server: &Server<impl PredictHost>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let keys = server.host.list_keys("models/", after.as_deref()).await?;
        let Some(first) = keys.first() else { return Ok(names) };
        let name = first.split('/').nth(1).unwrap_or_default().to_owned();
        // Past everything of this model: `~` sorts after what a name or a number may hold.
        after = Some(format!("models/{name}/~"));
        names.push(name);
    }
}

/// The version that a request means: a number, an alias, or none for the champion.
pub async fn load(server: &Server<impl PredictHost>, model: &str, version: Option<&str>) -> Result<Rc<LoadedModel>> {
    check_name(model, "model")?;
    let number = match version.map(str::parse::<u32>) {
        Some(Ok(number)) => number,
        _ => resolve_alias(server, model, version.unwrap_or(CHAMPION)).await?,
    };
    if let Some(loaded) = server.cache.get(model, number) {
        return Ok(loaded);
    }
    let key = format!("models/{model}/versions/{number}.json");
    let record: ModelVersion = match server.host.get_object(&key).await {
        Ok(bytes) => parse(&key, &bytes).map_err(|e| unavailable_version(model, number, &e))?,
        Err(e) if e.kind == ErrorKind::NotFound => return Err(unknown_version(server, model, &number.to_string()).await),
        Err(e) => return Err(e),
    };
    let loaded = load_version(server, record)
        .await
        .map_err(|e| unavailable_version(model, number, &e))?;
    let loaded = Rc::new(loaded);
    server.cache.insert(model, number, loaded.clone());
    Ok(loaded)
}

/// Loads a version's model and transform, which must be the registered ones.
async fn load_version(server: &Server<impl PredictHost>, version: ModelVersion) -> Result<LoadedModel> {
    let bytes = server.host.get_object(&version.transform).await?;
    if Digest::sha256(&bytes) != version.transform_digest {
        return Err(Error::bug(format!(
            "`{}` is not the transform that was registered: its digest is not {}",
            version.transform, version.transform_digest
        )));
    }
    let transform = Transform::from_json(&bytes)?;
    let graph = server.host.load_graph(&version.onnx, &version.onnx_digest).await?;
    let scorer = Scorer::new(&version.onnx, transform, graph, version.task, version.classes.clone());
    Ok(LoadedModel { version, scorer })
}

/// The error of a version that cannot be served. The request is valid, and another version may serve it: the error is `Transient`.
pub(crate) fn unavailable_version(model: &str, number: u32, error: &Error) -> Error {
    Error::transient(format!(
        "version {number} of `{model}` cannot be served: {}; ask for another version, or move the alias that names this one with \
         `tidemill models alias`",
        error.message
    ))
}

async fn resolve_alias(server: &Server<impl PredictHost>, model: &str, alias: &str) -> Result<u32> {
    check_name(alias, "version")?;
    let key = format!("models/{model}/aliases/{alias}.json");
    match server.host.get_object(&key).await {
        Ok(bytes) => Ok(parse::<ModelAlias>(&key, &bytes)?.version),
        Err(e) if e.kind == ErrorKind::NotFound => Err(unknown_version(server, model, alias).await),
        Err(e) => Err(e),
    }
}

async fn unknown_version(server: &Server<impl PredictHost>, model: &str, version: &str) -> Error {
    let found = match list_versions(server, model).await {
        Ok(found) => found,
        Err(e) => return e,
    };
    if found.is_empty() {
        let known = list_models(server).await.unwrap_or_default();
        let known = if known.is_empty() {
            "there is none yet".into()
        } else {
            format!("there are {}", quoted_list(known.iter()))
        };
        return Error::not_found(format!("there is no model `{model}` with a version to serve; {known}"));
    }
    Error::not_found(format!(
        "model `{model}` has no version or alias `{version}`; its versions are {}",
        quoted_list(found.iter())
    ))
}

/// All version numbers of a model, ascending.
async fn list_versions(server: &Server<impl PredictHost>, model: &str) -> Result<BTreeSet<u32>> {
    let prefix = format!("models/{model}/versions/");
    let mut found = BTreeSet::new();
    let mut after = None;
    loop {
        let page = server.host.list_keys(&prefix, after.as_deref()).await?;
        let number = |key: &String| key.strip_prefix(&prefix)?.strip_suffix(".json")?.parse::<u32>().ok();
        found.extend(page.iter().filter_map(number));
        match page.last() {
            Some(last) if page.len() >= 1000 => after = Some(last.clone()),
            _ => return Ok(found),
        }
    }
}

/// `GET /v2/models/<model>`: inputs are the features, then the context, which may be left out.
pub async fn metadata(server: &Server<impl PredictHost>, model: &str, version: Option<&str>) -> Result<Value> {
    let loaded = load(server, model, version).await?;
    let all = list_versions(server, model).await?;
    let signature = &loaded.version.signature;
    let tensor = |column: &SignatureColumn, role: &str| {
        json!({ "name": column.name, "datatype": datatype(column.kind), "shape": [-1],
                "parameters": { "nullable": column.nullable, "role": role } })
    };
    let inputs: Vec<Value> = signature
        .inputs
        .iter()
        .map(|c| tensor(c, "feature"))
        .chain(signature.context.iter().map(|c| tensor(c, "context")))
        .collect();
    let mut outputs = vec![json!({ "name": "score", "datatype": "FP64", "shape": [-1] })];
    if loaded.version.task != Task::Regression {
        outputs.push(json!({ "name": "label", "datatype": "BYTES", "shape": [-1] }));
        outputs.push(json!({ "name": "probabilities", "datatype": "FP64", "shape": [-1, loaded.version.classes.len()] }));
    }
    Ok(json!({
        "name": model,
        "versions": all.iter().map(u32::to_string).collect::<Vec<_>>(),
        "platform": "tidemill_onnx",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": { "version": loaded.version.version, "transform": loaded.version.transform_digest, "onnx": loaded.version.onnx_digest },
    }))
}

/// The protocol's name of a column's type.
pub fn datatype(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Number => "FP64",
        ColumnType::Integer => "INT64",
        ColumnType::Boolean => "BOOL",
        ColumnType::Text | ColumnType::Timestamp => "BYTES",
    }
}

fn check_name(name: &str, what: &str) -> Result<()> {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && !name.starts_with('.');
    if plain {
        Ok(())
    } else {
        Err(Error::not_found(format!("`{name}` is not the name of a {what}")))
    }
}

fn parse<T: serde::de::DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::bug(format!("`{key}` is not what it should be: {e}")))
}

/// `` `a`, `b` ``
pub fn quoted_list(names: impl Iterator<Item = impl std::fmt::Display>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
