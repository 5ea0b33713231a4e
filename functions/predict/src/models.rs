//! Models, versions and aliases in the store.
//!
//! An alias is read for each request, so that moving it takes effect immediately; a version never changes and is cached. The cache drops
//! the least recently used version, so that a server whose models are retrained every day does not grow.

use std::{cell::RefCell, collections::BTreeSet, num::NonZeroUsize, rc::Rc};

use lru::LruCache;
use serde_json::{Value, json};
use tidemill_core::{
    Digest, Error, ErrorKind, Result,
    layout::{self, Prefix, is_ignored},
    record::{ModelAlias, ModelVersion, SignatureColumn},
    spec::{ColumnType, Task},
    text::quoted_list,
};
use tidemill_ml::Transform;
use tidemill_registry::{VersionSelector, version_number};
use tidemill_scoring::Scorer;

use crate::PredictHost;

/// Maximum number of cached versions.
const MAX_VERSIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(31);

/// A server: a host, and the models that were loaded through it.
#[derive(Debug)]
pub struct Server<H> {
    /// The host.
    pub host: H,
    /// Loaded versions by model and number.
    loaded: RefCell<LruCache<(String, u32), Rc<LoadedModel>>>,
}

impl<H> Server<H> {
    /// Creates a server without loaded models.
    pub fn new(host: H) -> Self {
        let loaded = RefCell::new(LruCache::new(MAX_VERSIONS));
        Self { host, loaded }
    }
}

/// A version that is ready to serve.
#[derive(Debug)]
pub struct LoadedModel {
    /// The version's record.
    pub version: ModelVersion,
    /// Its transform and its model.
    pub scorer: Scorer,
}

/// Lists the names of all models that have a version or an alias. Files beside their folders are no models.
pub async fn list_models(server: &Server<impl PredictHost>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let keys = server.host.list_keys(&Prefix::Models.root(), after.as_deref()).await?;
        let Some(first) = keys.first() else { return Ok(names) };
        let name = first.split('/').nth(1).unwrap_or_default().to_owned();
        // Skips the other keys of this model: `~` sorts after every character of names and numbers.
        after = Some(format!("{}~", Prefix::Models.under(&name)));
        let has_objects = first.split('/').count() > 2;
        if has_objects && !is_ignored(&name) && check_name(&name, "model").is_ok() {
            names.push(name);
        }
    }
}

/// Loads the version that a request names: a number, an alias, or the champion if there is none.
pub async fn load(server: &Server<impl PredictHost>, model: &str, version: Option<&str>) -> Result<Rc<LoadedModel>> {
    check_name(model, "model")?;
    let number = match VersionSelector::parse(version) {
        VersionSelector::Number(number) => number,
        VersionSelector::Alias(alias) => resolve_alias(server, model, alias).await?,
    };
    let id = (model.to_owned(), number);
    let found = server.loaded.borrow_mut().get(&id).cloned();
    if let Some(loaded) = found {
        return Ok(loaded);
    }
    let key = layout::version(model, number);
    let record: ModelVersion = match server.host.get_object(&key).await {
        Ok(bytes) => parse(&key, &bytes).map_err(|e| unavailable_version(model, number, &e))?,
        Err(e) if e.kind == ErrorKind::NotFound => return Err(unknown_version(server, model, &number.to_string()).await),
        Err(e) => return Err(e),
    };
    let loaded = load_version(server, record)
        .await
        .map_err(|e| unavailable_version(model, number, &e))?;
    let loaded = Rc::new(loaded);
    server.loaded.borrow_mut().put(id, loaded.clone());
    Ok(loaded)
}

/// Loads a version's model and transform, which must be the registered ones.
async fn load_version(server: &Server<impl PredictHost>, version: ModelVersion) -> Result<LoadedModel> {
    let bytes = server.host.get_object(&version.transform).await?;
    check_registered("transform", &version.transform, &bytes, &version.transform_digest)?;
    let transform = Transform::from_json(&bytes)?;
    let graph = server.host.load_graph(&version.onnx, &version.onnx_digest).await?;
    let scorer = Scorer::new(&version.onnx, transform, graph, version.task, version.classes.clone());
    Ok(LoadedModel { version, scorer })
}

/// Rejects bytes that differ from the registered ones; `what` names them beside their key in the message.
///
/// # Errors
/// `Bug` if the digest differs.
pub fn check_registered(what: &str, key: &str, bytes: &[u8], digest: &Digest) -> Result<()> {
    if Digest::sha256(bytes) == *digest {
        return Ok(());
    }
    Err(Error::bug(format!(
        "`{key}` is not the {what} that was registered: its digest is not {digest}"
    )))
}

/// The error for a version that cannot be served. It is `Transient`, because the request is valid and another version may serve it.
pub(crate) fn unavailable_version(model: &str, number: u32, error: &Error) -> Error {
    Error::transient(format!(
        "version {number} of `{model}` cannot be served: {}; ask for another version, or move the alias that names this one with \
         `tidemill models alias`",
        error.message
    ))
}

async fn resolve_alias(server: &Server<impl PredictHost>, model: &str, alias: &str) -> Result<u32> {
    check_name(alias, "version")?;
    let key = layout::alias(model, alias);
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
            format!("there are {}", quoted_list(known))
        };
        return Error::not_found(format!("there is no model `{model}` with a version to serve; {known}"));
    }
    Error::not_found(format!(
        "model `{model}` has no version or alias `{version}`; its versions are {}",
        quoted_list(found)
    ))
}

/// Lists all version numbers of a model, ascending.
async fn list_versions(server: &Server<impl PredictHost>, model: &str) -> Result<BTreeSet<u32>> {
    let prefix = layout::version_prefix(model);
    let mut found = BTreeSet::new();
    let mut after = None;
    loop {
        let page = server.host.list_keys(&prefix, after.as_deref()).await?;
        found.extend(page.iter().filter_map(|key| version_number(key)));
        match page.last() {
            Some(last) if page.len() >= 1000 => after = Some(last.clone()),
            _ => return Ok(found),
        }
    }
}

/// `GET /v2/models/<model>`: inputs are the features, then the context, which may be omitted.
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

/// The protocol's name for a column's type.
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
