//! A node of the pipeline as a function: how long it may run, what memory it gets, what it may touch.

use tidemill_core::{
    Error, Result,
    pipeline::{Node, NodeSettings},
};

use super::{
    alarms,
    build::Build,
    function::{LONGEST, MOST_MEMORY, Program, STORAGE},
    grants::Access,
    names::Names,
    trigger::Trigger,
};

/// Seconds between a stage's own limit and Lambda's.
const GRACE: u64 = 20;
/// Beside what the stage itself may take, in megabytes: what SQL may take.
const SQL_MEMORY: u64 = 1024;
/// `/tmp` of stages that read data, in megabytes: what they read is kept there while they run.
const SQL_STORAGE: u64 = 4096;

/// Adds a node's function with its queue and alarms.
pub(super) fn add(build: &mut Build, node: &Node) -> Result<()> {
    let names = Names::of_node(&build.pipeline.project, node)?;
    let timeout = timeout(build, node);
    let settings = NodeSettings {
        component: Some(build.component(&node.component)),
        timeout_seconds: timeout - GRACE,
        ..NodeSettings::new(build.pipeline, node)
    };
    if node.component == "tidemill:evaluate" {
        // It scores models from elsewhere, with the component beside its own.
        build.component("tidemill:onnx");
    }
    let prefixes = settings.event_prefixes();
    let config = build.config_file(&names, &settings)?;
    let variables = build.variables(config);
    let binary = build.program(&node.stage, &node.component);
    let memory = build.memory(&node.stage, memory(node)?);
    let tags = build.tags(&node.stage);
    let trigger = Trigger {
        names: &names,
        prefixes: &prefixes,
        timeout,
        batch: if is_small(node) { 10 } else { 1 },
        concurrency: node.concurrency as u64,
        is_waiting: node.stage == "featurize",
        tags: tags.clone(),
    };
    trigger.add(&mut build.template.resources);
    let program = Program {
        names: &names,
        description: format!("Stage {} of {}", node.stage, node.resource),
        binary: &binary,
        memory,
        timeout,
        storage: if is_small(node) { STORAGE } else { SQL_STORAGE },
        is_serial: is_small(node),
        variables,
        access: access(node, &prefixes),
        source: Some(trigger.source()),
        tags: tags.clone(),
    };
    program.add(&build.options.programs, &mut build.template.resources);
    alarms::of_stage(&mut build.template.resources, &names, 6 * timeout, &tags);
    Ok(())
}

/// Seconds that Lambda gives a stage: its own limit, and what its host needs to say that it was reached.
fn timeout(build: &mut Build, node: &Node) -> u64 {
    let asked = node.timeout.as_secs().max(1) + GRACE;
    if asked > LONGEST {
        build.notes.push(format!(
            "stage `{}` of `{}` may take {} s by tidemill.toml, and on Lambda {}: a run that needs longer fails there, and can be made \
             by `tidemill up` over the same bucket",
            node.stage,
            node.resource,
            asked - GRACE,
            LONGEST - GRACE
        ));
    }
    asked.min(LONGEST)
}

/// Stages that read and write a few records, no data; their order matters.
fn is_small(node: &Node) -> bool {
    ["register", "retrain"].contains(&node.stage.as_str())
}

/// Megabytes of a node's function.
fn memory(node: &Node) -> Result<u64> {
    let own = node.memory_bytes.div_ceil(1 << 20);
    let beside = if is_small(node) { 0 } else { SQL_MEMORY };
    if own + beside > MOST_MEMORY {
        return Err(Error::config(format!(
            "stage `{}` may take {own} MB by its `memory-megabytes`, and {beside} MB more for SQL: a Lambda function has at most \
             {MOST_MEMORY}; set `memory-megabytes` to {} or less",
            node.stage,
            MOST_MEMORY - beside
        )));
    }
    Ok(own + beside)
}

/// What a node's function touches: its grants, what triggers it, and the records that the host keeps of it.
fn access(node: &Node, prefixes: &[String]) -> Access {
    let (stage, resource) = (&node.stage, &node.resource);
    let mut access = Access {
        reads: node.reads.clone(),
        writes: node.writes.clone(),
    };
    access
        .reads
        .extend(node.on.iter().cloned().chain(prefixes.iter().map(|prefix| format!("{prefix}**"))));
    for records in ["outcomes", "runs", "dead"] {
        access.writes.push(format!("{records}/{stage}/{resource}/*"));
    }
    if stage == "featurize" {
        // Trainings of a model follow each other: it looks how far the one before is.
        let later = ["train", "evaluate", "register"];
        let records = |later: &str| ["outcomes", "dead"].map(|records| format!("{records}/{later}/{resource}/*"));
        access.reads.extend(later.into_iter().flat_map(records));
    }
    // What a replay needs, named by content.
    access.writes.extend(["components/*", "configs/*"].map(str::to_owned));
    access
}
