//! The nine stages for the datasets, features and models of a project: triggers, grants and limits.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Node, Pipeline, StageKind};
use crate::{
    Error, Result,
    layout::{self, Prefix},
    secret::SecretRef,
    spec::{Collect, CollectSource, Dataset, Features, Model, TrainerKind},
};

/// Timeout of a stage that reads and writes a few records. Where a queue delivers events, a retry waits for a multiple of it.
const SHORT_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
const LONG_TIMEOUT: Duration = Duration::from_secs(1800);
const TRAINING_TIMEOUT: Duration = Duration::from_secs(3600);
const GIB: u64 = 1 << 30;
/// The field of `collect`'s configuration that holds references to secrets.
const COLLECT_HEADERS: &str = "headers";

/// The nodes that follow from the datasets and models of a pipeline.
pub(crate) fn builtin_nodes(pipeline: &Pipeline) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    for dataset in pipeline.datasets.values() {
        if let Some(collect) = &dataset.collect {
            nodes.push(collect_node(dataset, collect)?);
        }
        nodes.push(validate_node(dataset));
    }
    for model in pipeline.models.values() {
        let features = pipeline.features.get(&model.features);
        let dataset = features.and_then(|features| pipeline.datasets.get(&features.dataset));
        let (Some(features), Some(dataset)) = (features, dataset) else {
            return Err(Error::bug(format!("the references of model `{}` were not resolved", model.name)));
        };
        nodes.extend([
            featurize_node(model, features, dataset),
            train_node(model),
            evaluate_node(model),
            register_node(model),
            monitor_node(model, features, dataset),
            retrain_node(model),
        ]);
    }
    Ok(nodes)
}

impl Node {
    /// A node with default limits that nothing triggers and that may touch nothing.
    pub(crate) fn new(stage: &str, resource: &str, config: Value) -> Self {
        Self {
            stage: stage.into(),
            resource: resource.into(),
            component: format!("tidemill:{stage}"),
            on: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            fetch: Vec::new(),
            config,
            seed: 0,
            timeout: DEFAULT_TIMEOUT,
            memory_bytes: GIB,
            concurrency: 1,
            every: None,
        }
    }

    /// The secrets that the host puts into its requests.
    pub fn secrets(&self) -> Vec<SecretRef> {
        let is_collect = self.stage == StageKind::Collect.name();
        let headers = self.config.get(COLLECT_HEADERS).and_then(Value::as_object).filter(|_| is_collect);
        let values = headers.into_iter().flat_map(|headers| headers.values());
        values.filter_map(|value| SecretRef::parse(value.as_str()?).ok()).collect()
    }

    fn builtin(kind: StageKind, resource: &str, config: Value) -> Self {
        Self::new(kind.name(), resource, config)
    }
}

fn collect_node(dataset: &Dataset, collect: &Collect) -> Result<Node> {
    let name = &dataset.name;
    let raw = Prefix::Raw.pattern(name);
    let (source, reads, fetch) = match collect.source().map_err(Error::config)? {
        CollectSource::Url { url, host } => (json!({ "url": url }), vec![raw], vec![host.to_owned()]),
        CollectSource::Prefix(prefix) => (
            json!({ "prefix": prefix }),
            vec![format!("{}/**", prefix.trim_end_matches('/')), raw],
            vec![],
        ),
    };
    let mut config = json!({ "dataset": name, "source": source });
    if !collect.header.is_empty() {
        config[COLLECT_HEADERS] = json!(collect.header);
    }
    Ok(Node {
        on: vec![layout::schedule_pattern(StageKind::Collect.name(), name)],
        reads,
        writes: vec![layout::collected_pattern(name)],
        fetch,
        every: collect.every,
        ..Node::builtin(StageKind::Collect, name, config)
    })
}

fn validate_node(dataset: &Dataset) -> Node {
    let name = &dataset.name;
    Node {
        on: vec![Prefix::Raw.pattern(name)],
        reads: vec![Prefix::Raw.pattern(name)],
        writes: vec![Prefix::Datasets.pattern(name), Prefix::Quarantine.pattern(name)],
        concurrency: 2,
        ..Node::builtin(StageKind::Validate, name, json!({ "dataset": dataset }))
    }
}

fn featurize_node(model: &Model, features: &Features, dataset: &Dataset) -> Node {
    let config = json!({ "features": features, "dataset": dataset, "model": model });
    Node {
        on: vec![Prefix::Requests.objects(&model.name)],
        reads: vec![Prefix::Datasets.pattern(&dataset.name)],
        writes: vec![Prefix::Features.pattern(&model.name)],
        seed: model.trainer.seed,
        memory_bytes: 3 * GIB,
        timeout: LONG_TIMEOUT,
        ..Node::builtin(StageKind::Featurize, &model.name, config)
    }
}

fn train_node(model: &Model) -> Node {
    let name = &model.name;
    let mut reads = vec![Prefix::Features.pattern(name)];
    if model.trainer.kind == TrainerKind::Onnx {
        reads.push(Prefix::Imports.pattern(name));
    }
    Node {
        on: vec![outcomes(StageKind::Featurize, name)],
        reads,
        writes: vec![Prefix::Candidates.pattern(name)],
        seed: model.trainer.seed,
        memory_bytes: 3 * GIB,
        timeout: TRAINING_TIMEOUT,
        ..Node::builtin(StageKind::Train, name, json!({ "model": model }))
    }
}

fn evaluate_node(model: &Model) -> Node {
    let name = &model.name;
    Node {
        on: vec![outcomes(StageKind::Train, name)],
        reads: patterns(name, [Prefix::Features, Prefix::Candidates, Prefix::Models]),
        writes: vec![Prefix::Evaluations.pattern(name)],
        seed: model.trainer.seed,
        memory_bytes: 3 * GIB,
        timeout: LONG_TIMEOUT,
        ..Node::builtin(StageKind::Evaluate, name, json!({ "model": model }))
    }
}

fn register_node(model: &Model) -> Node {
    let name = &model.name;
    Node {
        on: vec![outcomes(StageKind::Evaluate, name)],
        reads: patterns(name, [Prefix::Evaluations, Prefix::Models]),
        writes: vec![Prefix::Models.pattern(name)],
        timeout: SHORT_TIMEOUT,
        ..Node::builtin(StageKind::Register, name, json!({ "model": name }))
    }
}

fn monitor_node(model: &Model, features: &Features, dataset: &Dataset) -> Node {
    let name = &model.name;
    let mut reads = vec![Prefix::Datasets.pattern(&dataset.name)];
    reads.extend(patterns(
        name,
        [
            Prefix::Windows,
            Prefix::Logs,
            Prefix::Predictions,
            Prefix::Models,
            Prefix::Features,
            Prefix::Labels,
            Prefix::Reports,
        ],
    ));
    Node {
        on: vec![Prefix::Windows.objects(name), Prefix::Labels.pattern(name)],
        reads,
        writes: vec![Prefix::Reports.pattern(name)],
        seed: model.trainer.seed,
        memory_bytes: 2 * GIB,
        ..Node::builtin(
            StageKind::Monitor,
            name,
            json!({ "model": model, "features": features, "dataset": dataset }),
        )
    }
}

fn retrain_node(model: &Model) -> Node {
    let name = &model.name;
    let mut reads = patterns(
        name,
        [
            Prefix::Reports,
            Prefix::Decisions,
            Prefix::Requests,
            Prefix::Models,
            Prefix::Windows,
        ],
    );
    reads.push(outcomes(StageKind::Monitor, name));
    Node {
        on: vec![
            outcomes(StageKind::Monitor, name),
            layout::schedule_pattern(StageKind::Retrain.name(), name),
        ],
        reads,
        writes: patterns(name, [Prefix::Requests, Prefix::Decisions]),
        every: model.retrain.every,
        timeout: SHORT_TIMEOUT,
        ..Node::builtin(StageKind::Retrain, name, json!({ "model": model }))
    }
}

fn outcomes(kind: StageKind, resource: &str) -> String {
    layout::outcome_pattern(kind.name(), resource)
}

fn patterns(resource: &str, prefixes: impl IntoIterator<Item = Prefix>) -> Vec<String> {
    prefixes.into_iter().map(|prefix| prefix.pattern(resource)).collect()
}
