//! Tidemill's own stages, natively, by name. Their components and these are one source.

use std::sync::Arc;

use tidemill_core::{Error, Result, pipeline::NodeSettings};
use tidemill_host::Runner;

use crate::{environment::is_stage, exit, native_runner, run_coordinator, run_with};

/// The names of the stages that run natively. `predict` is not triggered: it serves.
pub const NATIVE_STAGES: [&str; 8] = [
    "collect",
    "validate",
    "featurize",
    "train",
    "evaluate",
    "register",
    "monitor",
    "retrain",
];

/// A runner of the node's stage, whose configuration is checked.
///
/// # Errors
/// `Config` for a stage that is not Tidemill's own, or that the configuration does not fit.
pub fn stage_runner(node: &NodeSettings) -> Result<Arc<dyn Runner>> {
    match node.stage.as_str() {
        "collect" => native_runner::<tidemill_collect::Collect>(node),
        "validate" => native_runner::<tidemill_validate::Validate>(node),
        "featurize" => native_runner::<tidemill_featurize::Featurize>(node),
        "train" => native_runner::<tidemill_train::Train>(node),
        "evaluate" => native_runner::<tidemill_evaluate::Evaluate>(node),
        "register" => native_runner::<tidemill_register::Register>(node),
        "monitor" => native_runner::<tidemill_monitor::Monitor>(node),
        "retrain" => native_runner::<tidemill_retrain::Retrain>(node),
        other => Err(Error::config(format!(
            "stage `{other}` does not run natively: deploy it as a component (program `tidemill-component`); native are {}",
            NATIVE_STAGES.map(|name| format!("`{name}`")).join(", ")
        ))),
    }
}

/// Serves a native stage or the coordinator, as `TIDEMILL_CONFIG` says, until Lambda ends the process.
pub fn run_stage_or_coordinator() {
    match is_stage() {
        Ok(true) => run_with(|environment, _, _| stage_runner(&environment.node)),
        Ok(false) => run_coordinator(),
        Err(error) => exit(&error.into()),
    }
}
