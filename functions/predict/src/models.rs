//! Models, versions and aliases as the store has them. An alias is read at each request, so that a moved one serves at once;
//! versions never change and are kept.

use std::{cell::RefCell, collections::BTreeSet, collections::HashMap, rc::Rc};

use serde_json::{Value, json};
use tidemill_core::{
    Digest, Error, ErrorKind, Result,
    record::{ModelAlias, ModelVersion, SignatureColumn},
    spec::{ColumnType, Task},
};
use tidemill_ml::Transform;

use crate::host::PredictHost;

/// Who serves when the request names no version.
const CHAMPION: &str = "champion";

/// A version that is ready to serve.
#[derive(Debug, PartialEq)]
pub struct LoadedModel {
    /// The version's record.
    pub version: ModelVersion,
    /// Its fitted transform.
    pub transform: Transform,
}

/// Loaded versions by model and number.
#[derive(Debug, Default)]
pub struct ModelCache(RefCell<HashMap<(String, u32), Rc<LoadedModel>>>);

/// Names of all models that have a version.
pub async fn list_models(environment: &impl PredictHost) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let keys = environment.list_keys("models/", after.as_deref()).await?;
        let Some(first) = keys.first() else { return Ok(names) };
        let name = first.split('/').nth(1).unwrap_or_default().to_owned();
        // Past everything of this model: `~` sorts after what a name or a number may hold.
        after = Some(format!("models/{name}/~"));
        names.push(name);
    }
}

/// The version that a request means: a number, an alias, or none for the champion.
pub async fn load(environment: &impl PredictHost, model: &str, version: Option<&str>) -> Result<Rc<LoadedModel>> {
    check(model, "model")?;
    let number = match version.map(str::parse::<u32>) {
        Some(Ok(number)) => number,
        _ => resolve(environment, model, version.unwrap_or(CHAMPION)).await?,
    };
    let cached = environment.cache().0.borrow().get(&(model.to_owned(), number)).cloned();
    if let Some(served) = cached {
        return Ok(served);
    }
    let key = format!("models/{model}/versions/{number}.json");
    let record: ModelVersion = match environment.get_object(&key).await {
        Ok(bytes) => parse(&key, &bytes).map_err(|e| unavailable_version(model, number, &e))?,
        Err(e) if e.kind == ErrorKind::NotFound => return Err(missing(environment, model, &number.to_string()).await),
        Err(e) => return Err(e),
    };
    let served = ready(environment, record)
        .await
        .map_err(|e| unavailable_version(model, number, &e))?;
    let served = Rc::new(served);
    environment
        .cache()
        .0
        .borrow_mut()
        .insert((model.to_owned(), number), served.clone());
    Ok(served)
}

/// A version with its model and its transform, which must be the registered ones.
async fn ready(environment: &impl PredictHost, version: ModelVersion) -> Result<LoadedModel> {
    let bytes = environment.get_object(&version.transform).await?;
    if Digest::sha256(&bytes) != version.transform_digest {
        return Err(Error::bug(format!(
            "`{}` is not the transform that was registered: its digest is not {}",
            version.transform, version.transform_digest
        )));
    }
    let transform = Transform::from_json(&bytes)?;
    environment.load_graph(&version.onnx, version.onnx_digest.as_str()).await?;
    Ok(LoadedModel { version, transform })
}

/// Nothing is wrong with the request, and another version may serve it: whatever is broken, this is "not now".
pub(crate) fn unavailable_version(model: &str, number: u32, error: &Error) -> Error {
    Error::transient(format!(
        "version {number} of `{model}` cannot be served: {}; ask for another version, or move the alias that names this one with \
         `tidemill models alias`",
        error.message
    ))
}

async fn resolve(environment: &impl PredictHost, model: &str, alias: &str) -> Result<u32> {
    check(alias, "version")?;
    let key = format!("models/{model}/aliases/{alias}.json");
    match environment.get_object(&key).await {
        Ok(bytes) => Ok(parse::<ModelAlias>(&key, &bytes)?.version),
        Err(e) if e.kind == ErrorKind::NotFound => Err(missing(environment, model, alias).await),
        Err(e) => Err(e),
    }
}

async fn missing(environment: &impl PredictHost, model: &str, version: &str) -> Error {
    let found = match versions(environment, model).await {
        Ok(found) => found,
        Err(e) => return e,
    };
    if found.is_empty() {
        let known = list_models(environment).await.unwrap_or_default();
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
async fn versions(environment: &impl PredictHost, model: &str) -> Result<BTreeSet<u32>> {
    let prefix = format!("models/{model}/versions/");
    let mut found = BTreeSet::new();
    let mut after = None;
    loop {
        let page = environment.list_keys(&prefix, after.as_deref()).await?;
        let number = |key: &String| key.strip_prefix(&prefix)?.strip_suffix(".json")?.parse::<u32>().ok();
        found.extend(page.iter().filter_map(number));
        match page.last() {
            Some(last) if page.len() >= 1000 => after = Some(last.clone()),
            _ => return Ok(found),
        }
    }
}

/// `GET /v2/models/<model>`: inputs are the features, then the context, which may be left out.
pub async fn metadata(environment: &impl PredictHost, model: &str, version: Option<&str>) -> Result<Value> {
    let served = load(environment, model, version).await?;
    let all = versions(environment, model).await?;
    let signature = &served.version.signature;
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
    if served.version.task != Task::Regression {
        outputs.push(json!({ "name": "label", "datatype": "BYTES", "shape": [-1] }));
        outputs.push(json!({ "name": "probabilities", "datatype": "FP64", "shape": [-1, served.version.classes.len()] }));
    }
    Ok(json!({
        "name": model,
        "versions": all.iter().map(u32::to_string).collect::<Vec<_>>(),
        "platform": "tidemill_onnx",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": { "version": served.version.version, "transform": served.version.transform_digest, "onnx": served.version.onnx_digest },
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

fn check(name: &str, what: &str) -> Result<()> {
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
