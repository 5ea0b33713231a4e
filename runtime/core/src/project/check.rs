//! What must hold before anything runs: names, references, grants, and a chain without loops.

use std::collections::BTreeSet;

use super::Source;
use crate::{
    Digest, Result,
    gate::Gate,
    layout::{Prefix, has_wildcard, may_overlap},
    pipeline::{Edge, Node, Pipeline, StagePolicy, cycle_through},
    spec::{Dataset, Features, Model, TrainerKind},
    text::quoted_list,
};

pub(super) fn check(pipeline: &Pipeline, source: &Source<'_>) -> Result<()> {
    check_names(pipeline, source)?;
    pipeline.datasets.values().try_for_each(|dataset| check_dataset(dataset, source))?;
    pipeline
        .features
        .values()
        .try_for_each(|features| check_features(features, source))?;
    pipeline.models.values().try_for_each(|model| check_model(model, source))?;
    check_nodes(pipeline, source)?;
    check_writes(&pipeline.nodes, source)?;
    check_cycles(pipeline, source)
}

fn check_names(pipeline: &Pipeline, source: &Source<'_>) -> Result<()> {
    // What begins with `_` is passed over in a store: see `is_ignored`.
    let is_good = |name: &str| {
        let is_word = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        is_word && !name.is_empty() && name.len() <= 64 && !name.starts_with('_')
    };
    let message = |table: &str, name: &str| {
        format!("the {table} name `{name}` is used in keys: use letters, digits, `-` and `_` (not first), at most 64")
    };
    if !is_good(&pipeline.project) {
        return Err(source.error(&["project", "name"], message("project", &pipeline.project)));
    }
    let tables = pipeline.datasets.keys().map(|name| ("dataset", name));
    let tables = tables.chain(pipeline.features.keys().map(|name| ("features", name)));
    for (table, name) in tables.chain(pipeline.models.keys().map(|name| ("model", name))) {
        if !is_good(name) {
            return Err(source.error(&[table, name], message(table, name)));
        }
    }
    match pipeline.nodes.iter().find(|node| !is_good(&node.stage)) {
        Some(node) => Err(source.stage_error(&node.stage, "name", message("stage", &node.stage))),
        None => Ok(()),
    }
}

fn check_dataset(dataset: &Dataset, source: &Source<'_>) -> Result<()> {
    let (name, columns) = (&dataset.name, &dataset.contract.columns);
    let keys = dataset.key.iter().map(|column| ("key", column));
    for (field, column) in keys.chain([("time", &dataset.time)]) {
        if !columns.contains_key(column) {
            return Err(source.error(
                &["dataset", name, field],
                format!(
                    "[dataset.{name}] uses the column `{column}` as key or time, which its contract does not have; it has {}",
                    quoted_list(columns.keys())
                ),
            ));
        }
    }
    Ok(())
}

fn check_features(features: &Features, source: &Source<'_>) -> Result<()> {
    let (name, share, validation) = (&features.name, features.holdout.share, features.validation_share);
    // NaN is in no range.
    let is_held_out = share > 0.0 && share <= 0.5;
    let path: &[&str] = match (is_held_out, (0.0..=0.5).contains(&validation)) {
        (true, true) => return Ok(()),
        (false, _) => &["features", name, "holdout", "share"],
        (true, false) => &["features", name, "validation-share"],
    };
    Err(source.error(
        path,
        format!("[features.{name}] `holdout.share` ({share}) is above 0 and at most 0.5, `validation-share` ({validation}) 0 to 0.5"),
    ))
}

fn check_model(model: &Model, source: &Source<'_>) -> Result<()> {
    check_retrain(model, source)?;
    check_monitor(model, source)?;
    check_trainer(model, source)?;
    check_import(model, source)
}

fn check_retrain(model: &Model, source: &Source<'_>) -> Result<()> {
    let place = format!("[model.{}] retrain.when", model.name);
    for (index, when) in model.retrain.when.iter().enumerate().filter(|(_, when)| *when != "drift") {
        let error = |message: String| source.error(&["model", &model.name, "retrain", "when", &index.to_string()], message);
        let gate = Gate::parse(when).map_err(|e| error(format!("{place}, which takes `drift` or a condition: {e}")))?;
        if gate.needs_champion() {
            return Err(error(format!(
                "{place}: `{when}` compares with the champion itself; compare with `training.{}`",
                gate.metric()
            )));
        }
    }
    Ok(())
}

fn check_monitor(model: &Model, source: &Source<'_>) -> Result<()> {
    let (place, monitor) = (format!("[model.{}] monitor", model.name), &model.monitor);
    let error = |field: &str, message: String| Err(source.error(&["model", &model.name, "monitor", field], message));
    if !(monitor.false_alarm_rate > 0.0 && monitor.false_alarm_rate < 1.0) {
        return error(
            "false-alarm-rate",
            format!(
                "{place}.false-alarm-rate is `{}`; it is a probability between 0 and 1, such as 0.01",
                monitor.false_alarm_rate
            ),
        );
    }
    for (field, span) in [("window", monitor.window), ("block", monitor.block)] {
        if span.is_zero() {
            return error(field, format!("{place}: `window` and `block` need a length, such as `1 day`"));
        }
    }
    Ok(())
}

fn check_trainer(model: &Model, source: &Source<'_>) -> Result<()> {
    let trainer = &model.trainer;
    let rate = trainer.learning_rate;
    let wrong = [
        ("learning-rate", !(rate > 0.0 && rate <= 1.0)),
        ("rounds", trainer.rounds == 0),
        ("leaves", trainer.leaves < 2),
        ("depth", trainer.depth == 0),
    ];
    let Some((field, _)) = wrong.into_iter().find(|(_, is_wrong)| *is_wrong) else {
        return Ok(());
    };
    Err(source.error(
        &["model", &model.name, "trainer", field],
        format!(
            "[model.{}] trainer: `learning-rate` ({rate}) is above 0 and at most 1, `rounds` ({}) and `depth` ({}) at least 1, `leaves` \
             ({}) at least 2",
            model.name, trainer.rounds, trainer.depth, trainer.leaves
        ),
    ))
}

/// A model from elsewhere is named by its content, so that the file that was reviewed is the one that is evaluated and served.
fn check_import(model: &Model, source: &Source<'_>) -> Result<()> {
    let place = format!("[model.{}] trainer", model.name);
    let how = format!(
        "write the digest that `sha256sum <file>` prints, and put the file into the store with `tidemill models import {} <file>`",
        model.name
    );
    let message = match (model.trainer.kind, &model.trainer.onnx) {
        (TrainerKind::Onnx, None) => {
            format!("{place} has the kind `onnx` and does not say which model: it needs `onnx`, the SHA-256 of its file; {how}")
        }
        (TrainerKind::Onnx, Some(digest)) if Digest::parse(digest.as_str()).is_none() => {
            format!("{place} has `onnx = \"{digest}\"`, which is no SHA-256 in lower-case hex; {how}")
        }
        (TrainerKind::Trees | TrainerKind::Linear, Some(_)) => {
            format!("{place} names a model (`onnx`) and is of a kind that trains its own; set `kind = \"onnx\"`, or leave `onnx` out")
        }
        _ => return Ok(()),
    };
    Err(source.error(&["model", &model.name, "trainer", "onnx"], message))
}

fn check_nodes(pipeline: &Pipeline, source: &Source<'_>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for node in &pipeline.nodes {
        let error = |field: &str, message: String| Err(source.stage_error(&node.stage, field, message));
        if !seen.insert(node.id()) {
            return error("name", format!("[[stage]] `{}` is defined twice", node.stage));
        }
        for write in &node.writes {
            if is_reserved(write) {
                return error(
                    "writes",
                    format!(
                        "stage `{0}` may not write `{write}`: {1} belong to the host; name a prefix of its own, such as `{0}/**`",
                        node.stage,
                        Prefix::reserved_names().collect::<Vec<_>>().join(", "),
                    ),
                );
            }
            if let Some(on) = node.on.iter().find(|on| may_overlap(on, write))
                && !node.policy().may_trigger_itself
            {
                return error(
                    "writes",
                    format!(
                        "stage `{}` would trigger itself: it writes `{write}` and is triggered by `{on}`",
                        node.stage
                    ),
                );
            }
        }
        for on in node.on.iter().filter(|on| Prefix::Outcomes.contains(on)) {
            if !pipeline.nodes.iter().any(|from| may_overlap(&from.outcome_pattern(), on)) {
                let all = quoted_list(pipeline.nodes.iter().map(Node::outcome_pattern));
                return error(
                    "on",
                    format!(
                        "stage `{}` waits for `{on}`, which no stage of this project writes; there are {all}",
                        node.stage
                    ),
                );
            }
        }
    }
    Ok(())
}

/// Whether a pattern covers keys that only the host writes.
fn is_reserved(write: &str) -> bool {
    let first = write.split('/').next().unwrap_or_default();
    has_wildcard(first) || Prefix::reserved_names().any(|name| name == first)
}

fn check_writes(nodes: &[Node], source: &Source<'_>) -> Result<()> {
    for (index, one) in nodes.iter().enumerate() {
        for two in &nodes[index + 1..] {
            for (a, b) in one.writes.iter().flat_map(|a| two.writes.iter().map(move |b| (a, b))) {
                if may_overlap(a, b) {
                    return Err(source.stage_error(
                        &two.stage,
                        "writes",
                        format!(
                            "`{}` may write `{a}` and `{}` may write `{b}`: two stages must not be able to write the same key; give one \
                             another prefix",
                            one.id(),
                            two.id()
                        ),
                    ));
                }
            }
        }
    }
    Ok(())
}

/// A cycle is an error unless it passes through a stage that ends it, such as `retrain`, which decides once a window.
fn check_cycles(pipeline: &Pipeline, source: &Source<'_>) -> Result<()> {
    let may_close = |id: &str| StagePolicy::for_stage(id.split(':').next().unwrap_or_default()).may_close_cycle;
    let edges: Vec<Edge> = pipeline
        .edges()
        .into_iter()
        .filter(|edge| !may_close(&edge.from) && !may_close(&edge.to))
        .collect();
    for node in &pipeline.nodes {
        if let Some(path) = cycle_through(&edges, &node.id()) {
            return Err(source.stage_error(
                &node.stage,
                "on",
                format!(
                    "the stages trigger each other in a circle: {}; change the `on` of one of them",
                    path.join(" → ")
                ),
            ));
        }
    }
    Ok(())
}
