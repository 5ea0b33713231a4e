//! The coordinator: `tidemill up`, which runs the stages, takes data and closes windows. There is one for each store, so the next begins when
//! the one before has ended.

use serde_json::{Value as Json, json};
use tidemill_core::{Result, pipeline::deployment::LOG_SEAL_SECONDS};

use super::{build::Build, pod::Pod, resources};

/// The label of its pods.
pub(super) const COMPONENT: &str = "coordinator";
/// Seconds for stages that run to finish; those that need longer are run again by the next start.
const STAGE_SECONDS: u64 = 60;

pub(super) fn objects(build: &mut Build<'_>) -> Result<Vec<Json>> {
    let variables = build.collect_secrets()?;
    let name = build.names.coordinator.clone();
    let pod = Pod {
        component: COMPONENT,
        // Twice the time that servers keep rows to themselves: the store may be slow to take them.
        command: vec!["up".to_owned(), "--window-delay".to_owned(), (2 * LOG_SEAL_SECONDS).to_string()],
        variables,
        resources: resources::coordinator(build.source.pipeline),
        stop_seconds: STAGE_SECONDS,
        has_claimed_log: false,
    };
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": build.metadata(&name, Some(COMPONENT)),
        "spec": {
            "replicas": 1,
            "strategy": { "type": "Recreate" },
            "selector": { "matchLabels": build.selector(COMPONENT) },
            "template": pod.template(build),
        },
    });
    Ok(vec![deployment, build.service(&name, COMPONENT)])
}
