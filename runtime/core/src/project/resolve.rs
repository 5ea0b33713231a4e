//! The tables of `tidemill.toml` as written, and the [`Project`] that they resolve to. The files that they name are read here, so that
//! nothing later needs a disk.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{ObserveSettings, Project, ServerSettings, Source, SourceFiles, StoreSettings, invalid};
use crate::{
    Result,
    gate::Gate,
    layout,
    pipeline::{DEFAULT_MAX_DEPTH, Node, Pipeline, StageKind, builtin_nodes},
    spec::{
        Collect, Contract, Dataset, Features, Holdout, Model, Monitor, Retrain, Task, Trainer, TransformRule, default_validation_share,
    },
    text::quoted_list,
    time::Span,
};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawProject {
    project: RawHeader,
    #[serde(default)]
    store: StoreSettings,
    #[serde(default)]
    observe: ObserveSettings,
    #[serde(default)]
    serve: ServerSettings,
    #[serde(default)]
    dataset: BTreeMap<String, RawDataset>,
    #[serde(default)]
    features: BTreeMap<String, RawFeatures>,
    #[serde(default)]
    model: BTreeMap<String, RawModel>,
    #[serde(default)]
    stage: Vec<RawStage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawHeader {
    name: String,
    #[serde(default = "default_max_depth")]
    max_depth: u32,
}

fn default_max_depth() -> u32 {
    DEFAULT_MAX_DEPTH
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawDataset {
    contract: String,
    time: String,
    key: Vec<String>,
    collect: Option<Collect>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawFeatures {
    dataset: String,
    sql: String,
    label: String,
    #[serde(default)]
    holdout: Holdout,
    #[serde(default = "default_validation_share")]
    validation_share: f64,
    #[serde(default)]
    transform: BTreeMap<String, TransformRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawModel {
    features: String,
    task: Task,
    #[serde(default)]
    trainer: Trainer,
    #[serde(default)]
    gates: Vec<String>,
    #[serde(default)]
    slices: Vec<String>,
    #[serde(default)]
    monitor: Monitor,
    #[serde(default)]
    retrain: Retrain,
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

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

type Read<'a> = &'a dyn Fn(&str) -> Result<String>;

pub(super) fn resolve(source: &Source<'_>, read: Read<'_>) -> Result<Project> {
    let raw: RawProject = source.deserialize()?;
    let contracts = raw.dataset.iter().map(|(name, dataset)| (name.clone(), dataset.contract.clone()));
    let queries = raw.features.iter().map(|(name, features)| (name.clone(), features.sql.clone()));
    let sources = SourceFiles {
        contracts: contracts.collect(),
        queries: queries.collect(),
    };
    let mut pipeline = Pipeline {
        project: raw.project.name,
        datasets: BTreeMap::new(),
        features: BTreeMap::new(),
        models: BTreeMap::new(),
        nodes: Vec::new(),
        max_depth: raw.project.max_depth,
        predict_component: format!("tidemill:{}", StageKind::Predict.name()),
    };
    for (name, dataset) in raw.dataset {
        pipeline
            .datasets
            .insert(name.clone(), resolve_dataset(name, dataset, source, read)?);
    }
    for (name, features) in raw.features {
        let features = resolve_features(&name, features, &pipeline.datasets, source, read)?;
        pipeline.features.insert(name, features);
    }
    for (name, model) in raw.model {
        let model = resolve_model(&name, model, &pipeline.features, source)?;
        pipeline.models.insert(name, model);
    }
    pipeline.nodes = builtin_nodes(&pipeline)?;
    for (index, stage) in raw.stage.into_iter().enumerate() {
        let index = index.to_string();
        match StageKind::from_name(&stage.name) {
            Some(kind) => replace(&mut pipeline, kind, stage, source, &index)?,
            None => pipeline.nodes.push(added_node(stage, source, &index)?),
        }
    }
    Ok(Project {
        pipeline,
        store: raw.store,
        observe: raw.observe,
        serve: raw.serve,
        sources,
    })
}

fn resolve_dataset(name: String, dataset: RawDataset, source: &Source<'_>, read: Read<'_>) -> Result<Dataset> {
    let path = ["dataset", &name, "contract"];
    let text = read(&dataset.contract).map_err(|e| source.error(&path, format!("[dataset.{name}] contract: {e}")))?;
    let contract: Contract = toml::from_str(&text).map_err(|e| invalid(&dataset.contract, &text, &e))?;
    if let Some(collect) = &dataset.collect
        && let Err(problem) = collect.source()
    {
        let problem = format!("[dataset.{name}] collect: {problem}");
        return Err(source.error_without_line(&["dataset", &name, "collect"], problem));
    }
    Ok(Dataset {
        name,
        time: dataset.time,
        key: dataset.key,
        contract,
        collect: dataset.collect,
    })
}

fn resolve_features(
    name: &str,
    features: RawFeatures,
    datasets: &BTreeMap<String, Dataset>,
    source: &Source<'_>,
    read: Read<'_>,
) -> Result<Features> {
    let dataset = datasets.get(&features.dataset).ok_or_else(|| {
        let known = quoted_list(datasets.keys());
        source.error(
            &["features", name, "dataset"],
            format!(
                "[features.{name}] names the unknown dataset `{}`; there is {known}",
                features.dataset
            ),
        )
    })?;
    let sql = read(&features.sql).map_err(|e| source.error(&["features", name, "sql"], format!("[features.{name}] sql: {e}")))?;
    Ok(Features {
        name: name.to_owned(),
        dataset: features.dataset,
        sql,
        label: features.label,
        time: dataset.time.clone(),
        key: dataset.key.clone(),
        holdout: features.holdout,
        validation_share: features.validation_share,
        transform: features.transform,
    })
}

fn resolve_model(name: &str, model: RawModel, features: &BTreeMap<String, Features>, source: &Source<'_>) -> Result<Model> {
    let gate = |(index, gate): (usize, &String)| {
        let path = ["model", name, "gates", &index.to_string()];
        Gate::parse(gate).map_err(|e| source.error(&path, format!("[model.{name}] gates: {e}")))
    };
    let gates = model.gates.iter().enumerate().map(gate).collect::<Result<_>>()?;
    if !features.contains_key(&model.features) {
        let known = quoted_list(features.keys());
        return Err(source.error(
            &["model", name, "features"],
            format!("[model.{name}] names the unknown features `{}`; there is {known}", model.features),
        ));
    }
    Ok(Model {
        name: name.to_owned(),
        features: model.features,
        task: model.task,
        trainer: model.trainer,
        gates,
        slices: model.slices,
        monitor: model.monitor,
        retrain: model.retrain,
    })
}

/// Changes one of the nine stages.
fn replace(pipeline: &mut Pipeline, kind: StageKind, stage: RawStage, source: &Source<'_>, index: &str) -> Result<()> {
    for (field, is_given) in [
        ("on", !matches!(&stage.on, OneOrMany::Many(on) if on.is_empty())),
        ("reads", !stage.reads.is_empty()),
        ("writes", !stage.writes.is_empty()),
        ("config", !stage.config.is_empty()),
    ] {
        if is_given {
            return Err(source.error(
                &["stage", index, field],
                format!(
                    "[[stage]] `{}` is one of the nine; its `{field}` follows from datasets, features and models. Set only `component`, \
                     `timeout-seconds`, `memory-megabytes` or `concurrency`, or choose another name to add a stage",
                    stage.name
                ),
            ));
        }
    }
    if kind == StageKind::Predict {
        pipeline.predict_component = stage.component.unwrap_or_else(|| pipeline.predict_component.clone());
        return Ok(());
    }
    for node in pipeline.nodes.iter_mut().filter(|node| node.stage == stage.name) {
        if let Some(component) = &stage.component {
            node.component.clone_from(component);
        }
        node.timeout = stage.timeout_seconds.map_or(node.timeout, Duration::from_secs);
        node.memory_bytes = stage.memory_megabytes.map_or(node.memory_bytes, |megabytes| megabytes << 20);
        node.concurrency = stage.concurrency.unwrap_or(node.concurrency);
    }
    Ok(())
}

fn added_node(stage: RawStage, source: &Source<'_>, index: &str) -> Result<Node> {
    let error = |message: String| source.error(&["stage", index, "name"], message);
    let component = stage.component.ok_or_else(|| {
        error(format!(
            "[[stage]] `{}` needs `component`, the path of its .wasm file; without one the name must be one of {}",
            stage.name,
            quoted_list(StageKind::ALL.map(StageKind::name))
        ))
    })?;
    let mut on = stage.on.into_vec();
    if stage.every.is_some() {
        on.push(layout::schedule_pattern(&stage.name, &stage.name));
    }
    if on.is_empty() {
        return Err(error(format!(
            "[[stage]] `{}` is never triggered: give it `on` or `every`",
            stage.name
        )));
    }
    let node = Node::new(&stage.name, &stage.name, serde_json::to_value(stage.config).unwrap_or_default());
    Ok(Node {
        component,
        on,
        reads: stage.reads,
        writes: stage.writes,
        fetch: stage.fetch,
        seed: stage.seed,
        timeout: stage.timeout_seconds.map_or(node.timeout, Duration::from_secs),
        memory_bytes: stage.memory_megabytes.map_or(node.memory_bytes, |megabytes| megabytes << 20),
        concurrency: stage.concurrency.unwrap_or(2),
        every: stage.every,
        ..node
    })
}
