//! A node of the pipeline as a function: how long it may run, what memory it gets, what it may touch.

use tidemill_core::{
    Error, Result, layout,
    pipeline::{Node, NodeSettings, TrainingStep},
};

use super::{
    build::Build,
    function::{LONGEST, MOST_MEMORY, Program, STORAGE},
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
    let policy = node.policy();
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
        batch: if handles_records_only(node) { 10 } else { 1 },
        concurrency: node.concurrency as u64,
        is_waiting: policy.training == Some(TrainingStep::First),
        dead_letters: Some(layout::dead_letter_prefix(&node.stage, &node.resource)),
        tags: tags.clone(),
    };
    trigger.add(&mut build.template.resources);
    let program = Program {
        names: &names,
        description: format!("Stage {} of {}", node.stage, node.resource),
        binary,
        memory,
        timeout,
        storage: if handles_records_only(node) { STORAGE } else { SQL_STORAGE },
        // Its order matters, whatever component runs.
        is_serial: policy.handles_records_only,
        variables,
        access: settings.access(),
        source: Some(trigger.source()),
        tags,
    };
    program.add(&build.options.programs, &mut build.template.resources);
    Ok(())
}

/// Whether it needs neither SQL nor room for files. That is known of Tidemill's own component; one in its place may ask for both.
fn handles_records_only(node: &Node) -> bool {
    node.policy().handles_records_only && node.component == format!("tidemill:{}", node.stage)
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

/// Megabytes of a node's function.
fn memory(node: &Node) -> Result<u64> {
    let own = node.memory_bytes.div_ceil(1 << 20);
    let beside = if handles_records_only(node) { 0 } else { SQL_MEMORY };
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
