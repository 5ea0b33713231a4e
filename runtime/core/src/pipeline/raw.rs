//! `tidemill.toml` as written, and how it becomes a [`Pipeline`]. Files that it names are read in, so that what follows needs no disk.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};

use super::{Node, Pipeline, STAGES, nodes};
use crate::{
    Error, Result,
    spec::{Contract, Dataset, Features, Model},
    time::Span,
};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawPipeline {
    project: Project,
    #[serde(default)]
    dataset: BTreeMap<String, RawDataset>,
    #[serde(default)]
    features: BTreeMap<String, toml::Table>,
    #[serde(default)]
    model: BTreeMap<String, toml::Table>,
    #[serde(default)]
    stage: Vec<RawStage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Project {
    name: String,
    #[serde(default = "depth")]
    max_depth: u32,
}

fn depth() -> u32 {
    32
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawDataset {
    contract: String,
    time: String,
    key: Vec<String>,
    collect: Option<Collect>,
}

/// `collect = { url = "…", every = "1 hour" }` or `{ prefix = "…" }`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Collect {
    pub(super) url: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) every: Option<Span>,
}

/// `[[stage]]`: adds a stage, or with the name of one of the nine replaces its component or limits.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawStage {
    name: String,
    component: Option<String>,
    #[serde(default)]
    on: OneOrMany,
    #[serde(default)]
    reads: Vec<String>,
    #[serde(default)]
    writes: Vec<String>,
    #[serde(default)]
    fetch: Vec<String>,
    #[serde(default)]
    config: toml::Table,
    #[serde(default)]
    seed: u64,
    timeout_seconds: Option<u64>,
    memory_megabytes: Option<u64>,
    concurrency: Option<usize>,
    every: Option<Span>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl RawPipeline {
    pub(super) fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| Error::config(format!("tidemill.toml: {}", e.to_string().trim_end())))
    }
}

pub(super) fn resolve(raw: RawPipeline, read: &dyn Fn(&str) -> Result<String>) -> Result<Pipeline> {
    let mut datasets = BTreeMap::new();
    let mut collects = BTreeMap::new();
    for (name, dataset) in raw.dataset {
        let place = format!("[dataset.{name}]");
        let text = read(&dataset.contract).map_err(|e| Error::config(format!("tidemill.toml: {place} contract: {e}")))?;
        let contract: Contract =
            toml::from_str(&text).map_err(|e| Error::config(format!("{}: {}", dataset.contract, e.to_string().trim_end())))?;
        if let Some(collect) = dataset.collect {
            collects.insert(name.clone(), collect);
        }
        datasets.insert(
            name.clone(),
            Dataset {
                name,
                time: dataset.time,
                key: dataset.key,
                contract,
            },
        );
    }
    let mut features = BTreeMap::new();
    for (name, table) in raw.features {
        features.insert(name.clone(), resolve_features(&name, table, &datasets, read)?);
    }
    let mut models = BTreeMap::new();
    for (name, mut table) in raw.model {
        let place = format!("[model.{name}]");
        own(&place, &mut table, &["name"])?;
        table.insert("name".into(), name.clone().into());
        models.insert(name, table_as::<Model>(&place, table)?);
    }
    let mut pipeline = Pipeline {
        project: raw.project.name,
        datasets,
        features,
        models,
        nodes: Vec::new(),
        max_depth: raw.project.max_depth,
        predict_component: "tidemill:predict".into(),
    };
    pipeline.nodes = nodes::nine(&pipeline, &collects)?;
    for stage in raw.stage {
        if STAGES.contains(&stage.name.as_str()) {
            replace(&mut pipeline, stage)?
        } else {
            pipeline.nodes.push(added(stage)?)
        }
    }
    Ok(pipeline)
}

fn resolve_features(
    name: &str,
    mut table: toml::Table,
    datasets: &BTreeMap<String, Dataset>,
    read: &dyn Fn(&str) -> Result<String>,
) -> Result<Features> {
    let place = format!("[features.{name}]");
    own(&place, &mut table, &["name", "time", "key"])?;
    let text = |table: &toml::Table, field: &str| {
        table
            .get(field)
            .and_then(|v| v.as_str())
            .map(str::to_owned)
            .ok_or_else(|| Error::config(format!("tidemill.toml: {place} needs `{field}`, a text")))
    };
    let dataset = text(&table, "dataset")?;
    let dataset = datasets.get(&dataset).ok_or_else(|| {
        Error::config(format!(
            "tidemill.toml: {place} names the unknown dataset `{dataset}`; there is {}",
            names(datasets.keys())
        ))
    })?;
    let sql = read(&text(&table, "sql")?).map_err(|e| Error::config(format!("tidemill.toml: {place} sql: {e}")))?;
    table.insert("name".into(), name.into());
    table.insert("sql".into(), sql.into());
    table.insert("time".into(), dataset.time.clone().into());
    table.insert("key".into(), dataset.key.clone().into());
    table_as(&place, table)
}

/// Fields that the resolver fills in are not the user's to set.
fn own(place: &str, table: &mut toml::Table, fields: &[&str]) -> Result<()> {
    match fields.iter().find(|field| table.contains_key(**field)) {
        Some(field) => Err(Error::config(format!(
            "tidemill.toml: {place} has `{field}`, which follows from its name or its dataset; leave it out"
        ))),
        None => Ok(()),
    }
}

fn table_as<T: DeserializeOwned>(place: &str, table: toml::Table) -> Result<T> {
    table
        .try_into()
        .map_err(|e| Error::config(format!("tidemill.toml: {place}: {}", e.to_string().trim_end())))
}

pub(super) fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.map(|n| format!("`{n}`")).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn replace(pipeline: &mut Pipeline, stage: RawStage) -> Result<()> {
    let OneOrMany::Many(on) = stage.on else {
        return Err(fixed(&stage.name, "on"));
    };
    for (given, field) in [
        (!on.is_empty(), "on"),
        (!stage.reads.is_empty(), "reads"),
        (!stage.writes.is_empty(), "writes"),
        (!stage.config.is_empty(), "config"),
    ] {
        if given {
            return Err(fixed(&stage.name, field));
        }
    }
    if stage.name == "predict" {
        pipeline.predict_component = stage.component.unwrap_or_else(|| pipeline.predict_component.clone());
        return Ok(());
    }
    for node in pipeline.nodes.iter_mut().filter(|node| node.stage == stage.name) {
        if let Some(component) = &stage.component {
            node.component.clone_from(component);
        }
        node.timeout = stage.timeout_seconds.map_or(node.timeout, Duration::from_secs);
        node.memory_bytes = stage.memory_megabytes.map_or(node.memory_bytes, |m| m << 20);
        node.concurrency = stage.concurrency.unwrap_or(node.concurrency);
    }
    Ok(())
}

fn fixed(stage: &str, field: &str) -> Error {
    Error::config(format!(
        "tidemill.toml: [[stage]] `{stage}` is one of the nine; its `{field}` follows from datasets, features and models. \
         Set only `component`, `timeout-seconds`, `memory-megabytes` or `concurrency`, or choose another name to add a stage"
    ))
}

fn added(stage: RawStage) -> Result<Node> {
    let component = stage.component.ok_or_else(|| {
        Error::config(format!(
            "tidemill.toml: [[stage]] `{}` needs `component`, the path of its .wasm file; without one the name must be one of {}",
            stage.name,
            STAGES.join(", ")
        ))
    })?;
    let mut on = match stage.on {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    };
    if stage.every.is_some() {
        on.push(format!("schedules/{0}/{0}/*", stage.name));
    }
    if on.is_empty() {
        return Err(Error::config(format!(
            "tidemill.toml: [[stage]] `{}` is never triggered: give it `on` or `every`",
            stage.name
        )));
    }
    Ok(Node {
        resource: stage.name.clone(),
        stage: stage.name,
        component,
        on,
        reads: stage.reads,
        writes: stage.writes,
        fetch: stage.fetch,
        config: serde_json::to_value(stage.config).unwrap_or_default(),
        seed: stage.seed,
        timeout: Duration::from_secs(stage.timeout_seconds.unwrap_or(600)),
        memory_bytes: stage.memory_megabytes.unwrap_or(1024) << 20,
        concurrency: stage.concurrency.unwrap_or(2),
        every: stage.every,
    })
}
