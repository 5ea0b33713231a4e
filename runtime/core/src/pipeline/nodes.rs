//! What the nine stages are for the user's datasets, features and models: triggers, grants and limits.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{
    Node, Pipeline,
    raw::{Collect, names},
};
use crate::{
    Error, Result,
    spec::{Model, TrainerKind},
};

/// Longest run of a stage that reads and writes a few records. Where a queue delivers events, what must be tried again waits for a
/// multiple of it.
const SHORT: Duration = Duration::from_secs(60);

pub(super) fn nine(pipeline: &Pipeline, collects: &BTreeMap<String, Collect>) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    for (name, dataset) in &pipeline.datasets {
        if let Some(collect) = collects.get(name) {
            nodes.push(collector(name, collect)?);
        }
        nodes.push(Node {
            on: vec![format!("raw/{name}/**")],
            reads: vec![format!("raw/{name}/**")],
            writes: vec![format!("datasets/{name}/**"), format!("quarantine/{name}/**")],
            concurrency: 2,
            ..node("validate", name, json!({ "dataset": dataset }))
        });
    }
    for model in pipeline.models.values() {
        nodes.extend(of_model(pipeline, model)?);
    }
    Ok(nodes)
}

fn collector(name: &str, collect: &Collect) -> Result<Node> {
    let (source, reads, fetch) = match (&collect.url, &collect.prefix) {
        (Some(url), None) => (json!({ "url": url }), vec![], vec![host(name, url)?]),
        (None, Some(prefix)) => (
            json!({ "prefix": prefix }),
            vec![format!("{}/**", prefix.trim_end_matches('/'))],
            vec![],
        ),
        _ => {
            return Err(Error::config(format!(
                "tidemill.toml: [dataset.{name}] collect needs exactly one of `url` and `prefix`"
            )));
        }
    };
    let mut reads = reads;
    reads.push(format!("raw/{name}/**"));
    Ok(Node {
        on: vec![format!("schedules/collect/{name}/*")],
        reads,
        writes: vec![format!("raw/{name}/collected/**")],
        fetch,
        every: collect.every,
        ..node("collect", name, json!({ "dataset": name, "source": source }))
    })
}

fn host(name: &str, url: &str) -> Result<String> {
    url.strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .and_then(|rest| rest.split(['/', '?', '#']).next())
        .filter(|host| !host.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| {
            Error::config(format!(
                "tidemill.toml: [dataset.{name}] collect: `{url}` is not an http or https URL"
            ))
        })
}

fn of_model(pipeline: &Pipeline, model: &Model) -> Result<Vec<Node>> {
    let name = &model.name;
    let features = pipeline.features.get(&model.features).ok_or_else(|| {
        Error::config(format!(
            "tidemill.toml: [model.{name}] names the unknown features `{}`; there is {}",
            model.features,
            names(pipeline.features.keys())
        ))
    })?;
    let dataset = pipeline
        .datasets
        .get(&features.dataset)
        .ok_or_else(|| Error::bug("features were resolved without their dataset"))?;
    let parts = format!("datasets/{}/**", dataset.name);
    let under = |prefix: &str| format!("{prefix}/{name}/**");
    let outcomes = |stage: &str| format!("outcomes/{stage}/{name}/*");
    let seed = model.trainer.seed;
    Ok(vec![
        Node {
            on: vec![format!("requests/{name}/*")],
            reads: vec![parts.clone()],
            writes: vec![under("features")],
            seed,
            memory_bytes: 3 << 30,
            timeout: Duration::from_secs(1800),
            ..node(
                "featurize",
                name,
                json!({ "features": features, "dataset": dataset, "model": model }),
            )
        },
        Node {
            on: vec![outcomes("featurize")],
            reads: match model.trainer.kind {
                TrainerKind::Onnx => vec![under("features"), under("imports")],
                TrainerKind::Trees | TrainerKind::Linear => vec![under("features")],
            },
            writes: vec![under("candidates")],
            seed,
            memory_bytes: 3 << 30,
            timeout: Duration::from_secs(3600),
            ..node("train", name, json!({ "model": model }))
        },
        Node {
            on: vec![outcomes("train")],
            reads: vec![under("features"), under("candidates"), under("models")],
            writes: vec![under("evaluations")],
            seed,
            memory_bytes: 3 << 30,
            timeout: Duration::from_secs(1800),
            ..node("evaluate", name, json!({ "model": model }))
        },
        Node {
            on: vec![outcomes("evaluate")],
            reads: vec![under("evaluations"), under("models")],
            writes: vec![under("models")],
            timeout: SHORT,
            ..node("register", name, json!({ "model": name }))
        },
        Node {
            on: vec![format!("windows/{name}/*"), format!("labels/{name}/**")],
            reads: vec![
                parts,
                under("windows"),
                under("logs"),
                under("predictions"),
                under("models"),
                under("features"),
                under("labels"),
                under("reports"),
            ],
            writes: vec![under("reports")],
            seed,
            memory_bytes: 2 << 30,
            ..node("monitor", name, json!({ "model": model, "features": features, "dataset": dataset }))
        },
        Node {
            on: vec![outcomes("monitor"), format!("schedules/retrain/{name}/*")],
            reads: vec![
                under("reports"),
                under("decisions"),
                under("requests"),
                under("models"),
                under("windows"),
                outcomes("monitor"),
            ],
            writes: vec![under("requests"), under("decisions")],
            every: model.retrain.every,
            timeout: SHORT,
            ..node("retrain", name, json!({ "model": model }))
        },
    ])
}

fn node(stage: &str, resource: &str, config: Value) -> Node {
    Node {
        stage: stage.into(),
        resource: resource.into(),
        component: format!("tidemill:{stage}"),
        on: Vec::new(),
        reads: Vec::new(),
        writes: Vec::new(),
        fetch: Vec::new(),
        config,
        seed: 0,
        timeout: Duration::from_secs(600),
        memory_bytes: 1 << 30,
        concurrency: 1,
        every: None,
    }
}
