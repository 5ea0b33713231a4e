//! The servers: `tidemill serve`, as many as requests need.

use serde_json::{Value as Json, json};
use tidemill_core::Result;

use super::{
    build::Build,
    pod::{DATA_VOLUME, Pod},
    resources,
};

/// The label of their pods.
pub(super) const COMPONENT: &str = "server";

pub(super) fn objects(build: &mut Build<'_>) -> Result<Vec<Json>> {
    let name = build.names.base.clone();
    let pod = Pod {
        component: COMPONENT,
        command: vec!["serve".to_owned()],
        variables: Vec::new(),
        resources: resources::server(),
        stop_seconds: 0,
        has_claimed_log: build.options.log_volume.is_some(),
    };
    let selector = build.selector(COMPONENT);
    // The autoscaler decides how many there are: a number here would be put back with each change.
    let (kind, spec) = match build.options.log_volume.as_deref() {
        None => ("Deployment", deployment(&selector, pod.template(build))),
        Some(size) => ("StatefulSet", stateful_set(&name, &selector, pod.template(build), size)),
    };
    let workload = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": build.metadata(&name, Some(COMPONENT)),
        "spec": spec,
    });
    let disruption = json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": build.metadata(&name, Some(COMPONENT)),
        "spec": { "maxUnavailable": 1, "selector": { "matchLabels": selector } },
    });
    let scaling = json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": build.metadata(&name, Some(COMPONENT)),
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": kind, "name": name },
            "minReplicas": build.options.servers,
            "maxReplicas": build.options.max_servers,
            "metrics": [{
                "type": "Resource",
                "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": resources::CPU_UTILIZATION } },
            }],
        },
    });
    Ok(vec![workload, build.service(&name, COMPONENT), disruption, scaling])
}

/// A new pod is ready before an old one goes.
fn deployment(selector: &Json, template: Json) -> Json {
    json!({
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
        "selector": { "matchLabels": selector },
        "template": template,
    })
}

/// A pod comes back with the volume that it had, and stores what is in its log. Volumes stay when there are fewer pods, until there are more.
fn stateful_set(service: &str, selector: &Json, template: Json, size: &str) -> Json {
    json!({
        "serviceName": service,
        "podManagementPolicy": "Parallel",
        "updateStrategy": { "type": "RollingUpdate" },
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
        "selector": { "matchLabels": selector },
        "template": template,
        "volumeClaimTemplates": [{
            "metadata": { "name": DATA_VOLUME },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": size } } },
        }],
    })
}
