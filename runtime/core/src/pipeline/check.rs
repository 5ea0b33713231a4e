//! What must hold before anything runs: names, references, grants, and a chain without loops.

use std::collections::BTreeSet;

use super::{Edge, Node, Pipeline, may_overlap, raw::names};
use crate::{
    Digest, Error, Result,
    gate::Gate,
    spec::{Model, TrainerKind},
};

/// Only the host writes here: a stage that could would forge the ledger.
const RESERVED: [&str; 10] = [
    "outcomes",
    "runs",
    "components",
    "configs",
    "dead",
    "audit",
    "windows",
    "logs",
    "predictions",
    ".tidemill",
];

pub(super) fn check(pipeline: &Pipeline) -> Result<()> {
    check_names(pipeline)?;
    pipeline.datasets.values().try_for_each(|dataset| {
        let columns = &dataset.contract.columns;
        for column in dataset.key.iter().chain([&dataset.time]) {
            if !columns.contains_key(column) {
                return Err(problem(format!(
                    "[dataset.{}] uses the column `{column}` as key or time, which its contract does not have; it has {}",
                    dataset.name,
                    names(columns.keys())
                )));
            }
        }
        Ok(())
    })?;
    pipeline.models.values().try_for_each(|model| check_model(pipeline, model))?;
    check_nodes(pipeline)?;
    check_cycles(pipeline)
}

fn problem(text: String) -> Error {
    Error::config(format!("tidemill.toml: {text}"))
}

fn check_names(pipeline: &Pipeline) -> Result<()> {
    let tables = pipeline
        .datasets
        .keys()
        .map(|n| ("dataset", n))
        .chain(pipeline.features.keys().map(|n| ("features", n)));
    let stages = pipeline.nodes.iter().map(|node| ("stage", &node.stage));
    let all = tables.chain(pipeline.models.keys().map(|n| ("model", n))).chain(stages);
    for (table, name) in all.chain([("project", &pipeline.project)]) {
        let good = !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !good {
            return Err(problem(format!(
                "the {table} name `{name}` stands in keys: use letters, digits, `-` and `_`, at most 64"
            )));
        }
    }
    Ok(())
}

fn check_model(pipeline: &Pipeline, model: &Model) -> Result<()> {
    let place = format!("[model.{}]", model.name);
    for when in &model.retrain.when {
        if when != "drift" {
            let gate = Gate::parse(when)
                .map_err(|e| e.context(format!("tidemill.toml: {place} retrain.when, which takes `drift` or a condition")))?;
            if gate.needs_champion() {
                return Err(problem(format!(
                    "{place} retrain.when: `{when}` compares with the champion itself; compare with `training.{}`",
                    gate.metric()
                )));
            }
        }
    }
    let monitor = &model.monitor;
    if !(monitor.false_alarm_rate > 0.0 && monitor.false_alarm_rate < 1.0) {
        return Err(problem(format!(
            "{place} monitor.false-alarm-rate is `{}`; it is a chance between 0 and 1, such as 0.01",
            monitor.false_alarm_rate
        )));
    }
    if monitor.window.is_zero() || monitor.block.is_zero() {
        return Err(problem(format!(
            "{place} monitor: `window` and `block` need a length, such as `1 day`"
        )));
    }
    let trainer = &model.trainer;
    let rate = trainer.learning_rate;
    if !(rate > 0.0 && rate <= 1.0) || trainer.rounds == 0 || trainer.leaves < 2 || trainer.depth == 0 {
        return Err(problem(format!(
            "{place} trainer: `learning-rate` ({rate}) is above 0 and at most 1, `rounds` ({}) and `depth` ({}) at least 1, `leaves` ({}) at least 2",
            trainer.rounds, trainer.depth, trainer.leaves
        )));
    }
    check_import(model)?;
    let Some(features) = pipeline.features.get(&model.features) else {
        return Ok(());
    };
    let share = features.holdout.share;
    // NaN is in no range.
    let held_out = share > 0.0 && share <= 0.5;
    if !held_out || !(0.0..=0.5).contains(&features.validation_share) {
        return Err(problem(format!(
            "[features.{}] `holdout.share` ({share}) is above 0 and at most 0.5, `validation-share` ({}) 0 to 0.5",
            features.name, features.validation_share
        )));
    }
    Ok(())
}

/// A model from elsewhere is named by its content, so that what was looked at is what is judged and served.
fn check_import(model: &Model) -> Result<()> {
    let place = format!("[model.{}] trainer", model.name);
    let how = format!(
        "write what `sha256sum <file>` says, and put the file into the store with `tidemill models import {} <file>`",
        model.name
    );
    match (model.trainer.kind, &model.trainer.onnx) {
        (TrainerKind::Onnx, None) => Err(problem(format!(
            "{place} has the kind `onnx` and does not say which model: it needs `onnx`, the SHA-256 of its file; {how}"
        ))),
        (TrainerKind::Onnx, Some(digest)) if Digest::parse(digest.as_str()).is_none() => Err(problem(format!(
            "{place} has `onnx = \"{digest}\"`, which is no SHA-256 in lower-case hex; {how}"
        ))),
        (TrainerKind::Trees | TrainerKind::Linear, Some(_)) => Err(problem(format!(
            "{place} names a model (`onnx`) and is of a kind that trains its own; set `kind = \"onnx\"`, or leave `onnx` out"
        ))),
        _ => Ok(()),
    }
}

fn check_nodes(pipeline: &Pipeline) -> Result<()> {
    let mut seen = BTreeSet::new();
    for node in &pipeline.nodes {
        if !seen.insert(node.id()) {
            return Err(problem(format!("[[stage]] `{}` is there twice", node.stage)));
        }
        for write in &node.writes {
            let first = write.split('/').next().unwrap_or_default();
            if RESERVED.contains(&first) || first.contains('*') {
                return Err(problem(format!(
                    "stage `{}` may not write `{write}`: {} belong to the host; name a prefix of its own, such as `{}/**`",
                    node.stage,
                    RESERVED.join(", "),
                    node.stage
                )));
            }
            if let Some(on) = node.on.iter().find(|on| may_overlap(on, write))
                && node.stage != "collect"
            {
                return Err(problem(format!(
                    "stage `{}` would trigger itself: it writes `{write}` and is triggered by `{on}`",
                    node.stage
                )));
            }
        }
        for on in node.on.iter().filter(|on| on.starts_with("outcomes/")) {
            if !pipeline.nodes.iter().any(|from| may_overlap(&from.outcome_pattern(), on)) {
                let all: Vec<String> = pipeline.nodes.iter().map(Node::outcome_pattern).collect();
                return Err(problem(format!(
                    "stage `{}` waits for `{on}`, which no stage of this project writes; there are {}",
                    node.stage,
                    names(all.iter())
                )));
            }
        }
    }
    check_writes(&pipeline.nodes)
}

fn check_writes(nodes: &[Node]) -> Result<()> {
    for (index, one) in nodes.iter().enumerate() {
        for two in &nodes[index + 1..] {
            for (a, b) in one.writes.iter().flat_map(|a| two.writes.iter().map(move |b| (a, b))) {
                if may_overlap(a, b) {
                    return Err(problem(format!(
                        "`{}` may write `{a}` and `{}` may write `{b}`: two stages must not be able to write the same key; give one another prefix",
                        one.id(),
                        two.id()
                    )));
                }
            }
        }
    }
    Ok(())
}

pub(super) fn edges(pipeline: &Pipeline) -> Vec<Edge> {
    let mut edges = BTreeSet::new();
    for from in &pipeline.nodes {
        let outcome = from.outcome_pattern();
        for to in &pipeline.nodes {
            for on in &to.on {
                if from.writes.iter().chain([&outcome]).any(|made| may_overlap(made, on)) {
                    edges.insert(Edge {
                        from: from.id(),
                        pattern: on.clone(),
                        to: to.id(),
                    });
                }
            }
        }
    }
    // A window closes when validated data has passed it: the flow writes it, on behalf of `validate`.
    for model in pipeline.models.values() {
        if let Some(features) = pipeline.features.get(&model.features) {
            edges.insert(Edge {
                from: format!("validate:{}", features.dataset),
                pattern: format!("windows/{}/*", model.name),
                to: format!("monitor:{}", model.name),
            });
        }
    }
    edges.into_iter().collect()
}

/// A cycle is an error unless it passes through `retrain`, which decides once a window.
fn check_cycles(pipeline: &Pipeline) -> Result<()> {
    let edges: Vec<Edge> = edges(pipeline)
        .into_iter()
        .filter(|e| !e.from.starts_with("retrain:") && !e.to.starts_with("retrain:"))
        .collect();
    for node in &pipeline.nodes {
        if let Some(path) = path_back(&edges, &node.id(), vec![node.id()]) {
            return Err(problem(format!(
                "the stages trigger each other in a circle: {}; change the `on` of one of them",
                path.join(" → ")
            )));
        }
    }
    Ok(())
}

fn path_back(edges: &[Edge], goal: &str, path: Vec<String>) -> Option<Vec<String>> {
    let last = path.last()?.clone();
    for edge in edges.iter().filter(|e| e.from == last) {
        let mut longer = path.clone();
        longer.push(edge.to.clone());
        if edge.to == goal {
            return Some(longer);
        }
        if !path.contains(&edge.to)
            && let Some(found) = path_back(edges, goal, longer)
        {
            return Some(found);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::Pipeline;
    use crate::{Error, Result};

    const GOOD: &str = r#"
        [project]
        name = "flights"
        [dataset.flights]
        contract = "c.toml"
        time = "at"
        key = ["id"]
        [features.late]
        dataset = "flights"
        sql = "f.sql"
        label = "late"
        holdout = { block = "1 day", share = 0.2 }
        [model.late]
        features = "late"
        task = "binary"
        gates = ["auc >= 0.6"]
        retrain = { when = ["drift", "auc < training.auc - 0.03"] }
    "#;

    fn read(path: &str) -> Result<String> {
        match path {
            "c.toml" => Ok("[columns]\nid = { type = \"integer\" }\nat = { type = \"timestamp\" }\n".into()),
            "f.sql" => Ok("SELECT * FROM flights".into()),
            _ => Err(Error::not_found(format!("`{path}` is not there"))),
        }
    }

    fn error(change: impl Fn(&str) -> String) -> String {
        let error = Pipeline::parse(&change(GOOD), &read).unwrap_err();
        assert_eq!(error.kind, crate::ErrorKind::Config);
        error.message
    }

    #[test]
    fn the_chain_follows() {
        let pipeline = Pipeline::parse(GOOD, &read).unwrap();
        let edges: Vec<String> = pipeline.edges().into_iter().map(|e| format!("{} > {}", e.from, e.to)).collect();
        assert_eq!(
            edges,
            [
                "evaluate:late > register:late",
                "featurize:late > train:late",
                "monitor:late > retrain:late",
                "retrain:late > featurize:late",
                "train:late > evaluate:late",
                "validate:flights > monitor:late"
            ]
        );
        assert_eq!(
            pipeline
                .triggered_nodes("raw/flights/2013-01.csv")
                .map(super::Node::id)
                .collect::<Vec<_>>(),
            ["validate:flights"]
        );
    }

    fn with_stage(stage: &str) -> impl Fn(&str) -> String {
        move |good: &str| format!("{good}\n[[stage]]\n{stage}")
    }

    #[test]
    fn mistakes_are_named() {
        for (message, part) in [
            (error(|good| good.replace("time =", "tyme =")), "`tyme`"),
            (error(|good| good.replace("task =", "tusk =")), "`tusk`"),
            (error(|good| good.replace("label = ", "key = [\"x\"]\nlabel = ")), "`key`"),
            (
                error(|good| good.replace("dataset = \"flights\"", "dataset = \"trains\"")),
                "unknown dataset `trains`; there is `flights`",
            ),
            (
                error(|good| good.replace("features = \"late\"", "features = \"early\"")),
                "unknown features `early`; there is `late`",
            ),
            (error(|good| good.replace("\"at\"", "\"when\"")), "`when` as key or time"),
            (error(|good| good.replace("c.toml", "nowhere.toml")), "nowhere.toml"),
            (error(|good| good.replace("share = 0.2", "share = 1.2")), "(1.2)"),
            (error(|good| good.replace("- 0.03", "by 0.03")), "`by 0.03` follows"),
            (
                error(|good| good.replace("task =", "trainer = { kind = \"onnx\" }\ntask =")),
                "tidemill models import late <file>",
            ),
            (
                error(|good| good.replace("task =", "trainer = { kind = \"onnx\", onnx = \"model.onnx\" }\ntask =")),
                "`onnx = \"model.onnx\"`, which is no SHA-256",
            ),
            (
                error(|good| good.replace("task =", "trainer = { onnx = \"model.onnx\" }\ntask =")),
                "or leave `onnx` out",
            ),
            (
                error(with_stage("name = \"geo code\"\ncomponent = \"g.wasm\"\non = \"raw/x/**\"")),
                "`geo code`",
            ),
            (error(with_stage("name = \"geocode\"\non = \"raw/x/**\"")), "needs `component`"),
            (
                error(with_stage(
                    "name = \"a\"\ncomponent = \"a.wasm\"\non = \"raw/x/**\"\nwrites = [\"raw/**\"]",
                )),
                "would trigger itself",
            ),
            (
                error(with_stage(
                    "name = \"a\"\ncomponent = \"a.wasm\"\non = \"raw/x/**\"\nwrites = [\"outcomes/a/**\"]",
                )),
                "belong to the host",
            ),
            (
                error(with_stage(
                    "name = \"a\"\ncomponent = \"a.wasm\"\non = \"raw/x/**\"\nwrites = [\"features/**\"]",
                )),
                "must not be able to write the same key",
            ),
            (
                error(with_stage(
                    "name = \"a\"\ncomponent = \"a.wasm\"\non = \"outcomes/vallidate/flights/*\"",
                )),
                "waits for `outcomes/vallidate/flights/*`, which no stage of this project writes; there are `outcomes/validate/flights/*`",
            ),
            (
                error(with_stage(
                    "name = \"a\"\ncomponent = \"a.wasm\"\non = \"outcomes/validate/flihgts/*\"",
                )),
                "`outcomes/validate/flihgts/*`, which no stage",
            ),
            (
                error(with_stage("name = \"a\"\ncomponent = \"a.wasm\"\non = \"outcomes/collect/**\"")),
                "`outcomes/collect/**`, which no stage",
            ),
            (error(with_stage("name = \"train\"\nwrites = [\"x/**\"]")), "one of the nine"),
            (
                error(with_stage(
                    "name = \"a\"\ncomponent = \"a.wasm\"\non = \"b/**\"\nwrites = [\"a/**\"]\n[[stage]]\nname = \"b\"\ncomponent = \"b.wasm\"\non = \"a/**\"\nwrites = [\"b/**\"]",
                )),
                "a:a → b:b → a:a",
            ),
        ] {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }
}
