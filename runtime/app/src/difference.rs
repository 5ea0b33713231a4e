//! What an edit of a project means for what runs, as sentences for a person.

use std::fmt::Display;

use tidemill_core::{
    Digest,
    layout::Prefix,
    pipeline::{Node, StageKind},
    spec::Model,
    text::quoted_list,
};

use crate::{ModelState, PROJECT_FILE, Project};

/// A component with other bytes than before.
pub(crate) struct ComponentChange {
    /// Its name in the project.
    pub(crate) name: String,
    /// The SHA-256 of its bytes now; `None` if it is not there yet.
    pub(crate) digest: Option<Digest>,
}

/// What differs between two states of a project, one sentence each; empty if nothing that runs does.
pub(crate) fn describe(old: &Project, new: &Project, models: &[ModelState], components: &[ComponentChange]) -> Vec<String> {
    let mut lines = Vec::new();
    describe_datasets(old, new, &mut lines);
    describe_features(old, new, models, &mut lines);
    describe_models(old, new, models, &mut lines);
    describe_nodes(old, new, &mut lines);
    lines.extend(components.iter().map(|component| describe_component(new, component)));
    if (&old.observe, old.settings.poll_seconds) != (&new.observe, new.settings.poll_seconds) {
        lines.push(format!("`{PROJECT_FILE}`: `poll-seconds` and `[observe]` hold as they are now"));
    }
    if old.serve != new.serve {
        lines.push(format!("`{PROJECT_FILE}`: `[serve]` holds from the next start"));
    }
    let header = |project: &Project| (project.pipeline.project.clone(), project.pipeline.max_depth);
    if header(old) != header(new) {
        let (name, depth) = header(new);
        lines.push(format!("the project is `{name}` now, and a chain ends after {depth} steps"));
    }
    lines
}

fn describe_datasets(old: &Project, new: &Project, lines: &mut Vec<String>) {
    let (before, now) = (&old.pipeline.datasets, &new.pipeline.datasets);
    for name in before.keys().filter(|name| !now.contains_key(*name)) {
        let folder = Prefix::Raw.under(name);
        lines.push(format!(
            "the dataset `{name}` is gone: files under {folder} are left alone, and what was validated stays"
        ));
    }
    for (name, dataset) in now {
        let contract = new.sources.contracts.get(name).map_or("the contract", String::as_str);
        let Some(earlier) = before.get(name) else {
            let folder = Prefix::Raw.under(name);
            lines.push(format!(
                "the dataset `{name}` is new: files under {folder} are checked by `{contract}`; `tidemill put {name} <file>` adds one"
            ));
            continue;
        };
        if earlier.contract != dataset.contract {
            lines.push(format!(
                "`{contract}` changed: files of `{name}` are checked by the new rules from now on; what was validated before stays"
            ));
        }
        if (&earlier.key, &earlier.time) != (&dataset.key, &dataset.time) {
            lines.push(format!(
                "[dataset.{name}]: key and time hold for files from now on; data that was validated before keeps its own"
            ));
        }
        if earlier.collect != dataset.collect {
            lines.push(format!("[dataset.{name}]: `collect` fetches as it says now, from the next time on"));
        }
    }
}

fn describe_features(old: &Project, new: &Project, models: &[ModelState], lines: &mut Vec<String>) {
    for (name, features) in &new.pipeline.features {
        let Some(earlier) = old.pipeline.features.get(name).filter(|earlier| *earlier != features) else {
            continue;
        };
        let is_query = earlier.sql != features.sql;
        let what = match new.sources.queries.get(name).filter(|_| is_query) {
            Some(path) => format!("`{path}` changed"),
            None => format!("[features.{name}] changed"),
        };
        let users: Vec<&Model> = new.pipeline.models.values().filter(|model| model.features == *name).collect();
        for model in &users {
            lines.push(format!(
                "{what}: the next training of `{0}` uses it; {1}",
                model.name,
                stays(models, &model.name)
            ));
        }
        if users.is_empty() {
            lines.push(format!("{what}: no model uses these features"));
        }
    }
}

fn describe_models(old: &Project, new: &Project, models: &[ModelState], lines: &mut Vec<String>) {
    let (before, now) = (&old.pipeline.models, &new.pipeline.models);
    for name in before.keys().filter(|name| !now.contains_key(*name)) {
        lines.push(format!(
            "the model `{name}` is gone: its versions stay in the store and answer requests, but it is neither monitored nor trained"
        ));
    }
    for (name, model) in now {
        let Some(earlier) = before.get(name) else {
            lines.push(format!("the model `{name}` is new: {}", stays(models, name)));
            continue;
        };
        let mut report = |differs: bool, meaning: &dyn Display| {
            if differs {
                lines.push(format!("[model.{name}]: {meaning}"));
            }
        };
        let shape = |model: &Model| (model.features.clone(), model.task, model.trainer.clone());
        report(
            shape(earlier) != shape(model),
            &format_args!("the next training uses what is new; {}", stays(models, name)),
        );
        report(
            (&earlier.gates, &earlier.slices) != (&model.gates, &model.slices),
            &"the next candidate is judged by the gates as they are now",
        );
        report(
            earlier.monitor != model.monitor,
            &"windows that close from now on are monitored as it says now",
        );
        report(
            earlier.retrain != model.retrain,
            &"the next decision follows the rules as they are now",
        );
    }
}

/// What serves a model until it is trained again, and how to train it.
fn stays(models: &[ModelState], name: &str) -> String {
    let champion = models.iter().find(|model| model.name == name).and_then(|model| model.champion);
    let retrain = StageKind::Retrain.name();
    match champion {
        Some(version) => format!("version {version} stays the champion until then; `tidemill run {retrain} {name}` trains now"),
        None => format!("it has no version yet; `tidemill run {retrain} {name}` trains once there is data"),
    }
}

fn describe_nodes(old: &Project, new: &Project, lines: &mut Vec<String>) {
    let is_added = |node: &&Node| StageKind::from_name(&node.stage).is_none();
    let (before, now) = (&old.pipeline, &new.pipeline);
    for node in before.nodes.iter().filter(is_added) {
        if now.node(&node.stage, &node.resource).is_none() {
            lines.push(format!("the stage `{}` is gone: what waited for it is dropped", node.stage));
        }
    }
    for node in &now.nodes {
        let added = is_added(&node);
        let Some(earlier) = before.node(&node.stage, &node.resource) else {
            if added {
                let on = quoted_list(&node.on);
                lines.push(format!("the stage `{}` is new: objects that match {on} trigger it", node.stage));
            }
            continue;
        };
        // What the nine are configured with is described by what it follows from.
        let is_same = match added {
            true => {
                Node {
                    component: earlier.component.clone(),
                    ..node.clone()
                } == *earlier
            }
            false => limits(earlier) == limits(node),
        };
        if !is_same {
            lines.push(format!(
                "the stage `{}` runs as `{PROJECT_FILE}` says now, from its next run on",
                node.id()
            ));
        }
    }
}

fn limits(node: &Node) -> (std::time::Duration, u64, usize, u64) {
    (node.timeout, node.memory_bytes, node.concurrency, node.seed)
}

fn describe_component(new: &Project, component: &ComponentChange) -> String {
    let (pipeline, name) = (&new.pipeline, &component.name);
    let users = pipeline.nodes.iter().filter(|node| node.component == *name).map(Node::id);
    let Some(digest) = &component.digest else {
        return format!(
            "the component `{name}` is not there yet: build it; until then, runs of {} fail",
            quoted_list(users)
        );
    };
    if pipeline.predict_component == *name {
        return format!("the component `{name}` is sha256:{digest} now and answers requests");
    }
    format!(
        "the component `{name}` is sha256:{digest} now: the next runs of {} use it; earlier runs are replayed with the one that they recorded",
        quoted_list(users)
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fixture::{CONTRACT, TOML};

    fn project(toml: &str, contract: &str, sql: &str) -> Project {
        let read = |path: &str| {
            Ok(match path {
                "alarm.sql" => sql,
                "contract.toml" => contract,
                _ => toml,
            }
            .to_owned())
        };
        Project::open_with(Path::new("/project"), None, &read).unwrap()
    }

    fn lines(toml: &str, contract: &str, sql: &str) -> Vec<String> {
        let models = [ModelState {
            name: "alarm".into(),
            champion: Some(3),
            dataset: "readings".into(),
        }];
        describe(&project(TOML, CONTRACT, "SELECT 1"), &project(toml, contract, sql), &models, &[])
    }

    #[test]
    fn an_edit_is_said_in_words() {
        assert!(lines(TOML, CONTRACT, "SELECT 1").is_empty());
        assert!(lines(&format!("# a comment\n{TOML}"), CONTRACT, "SELECT 1").is_empty());
        let lenient = CONTRACT.replace("alarm = { type = \"integer\" }", "alarm = { type = \"integer\", nullable = true }");
        for (toml, contract, sql, parts) in [
            (
                TOML.to_owned(),
                CONTRACT,
                "SELECT 2",
                ["`alarm.sql` changed", "version 3 stays", "`tidemill run retrain alarm`"],
            ),
            (
                TOML.to_owned(),
                &lenient,
                "SELECT 1",
                ["`contract.toml` changed", "from now on", "stays"],
            ),
            (
                TOML.replace("0.6", "0.7"),
                CONTRACT,
                "SELECT 1",
                ["[model.alarm]", "next candidate", "gates"],
            ),
            (
                TOML.replace("drop/**", "put/**"),
                CONTRACT,
                "SELECT 1",
                ["`sum:sum`", "next run", "now"],
            ),
            (
                TOML.replace(
                    "[dataset.readings]",
                    "[dataset.more]\ncontract = \"contract.toml\"\ntime = \"at\"\nkey = []\n[dataset.readings]",
                ),
                CONTRACT,
                "SELECT 1",
                ["`more` is new", "raw/more/", "tidemill put more"],
            ),
        ] {
            let lines = lines(&toml, contract, sql);
            assert!(
                lines.len() == 1 && parts.iter().all(|part| lines[0].contains(part)),
                "{parts:?}: {lines:?}"
            );
        }
        let renamed = lines(&TOML.replace("[model.alarm]", "[model.alert]"), CONTRACT, "SELECT 1");
        assert!(
            renamed.len() == 2 && renamed[0].contains("`alarm` is gone") && renamed[1].contains("`alert` is new"),
            "{renamed:?}"
        );
    }
}
