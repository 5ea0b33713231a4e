//! The pods: a container without rights, whose files are read-only but for its volumes, and the same probes for both components.

use serde_json::{Value as Json, json};

use super::build::{Build, PORT_NAME};

/// The user and the group of the image.
const USER: u32 = 65_532;
const PORT: u16 = 8080;
/// Where the project is.
const PROJECT: &str = "/project";
/// Where the process keeps what is not in the store: the log of predictions, and what can be lost.
const STATE: &str = "/data";
/// Machine code of the components.
const CACHE: &str = "/cache";
/// The volume of [`STATE`].
pub(super) const DATA_VOLUME: &str = "data";
/// Seconds after the signal to stop in which connections are accepted still: balancers learn late that a pod is going. Unless `[serve]` says
/// how many.
const STOP_DELAY: u64 = 10;
/// Seconds for the requests that were accepted, for the store to take the log (it is tried for 20), and to spare.
const STOP_SECONDS: u64 = 25 + 20 + 15;

/// What differs between pods.
pub(super) struct Pod {
    pub(super) component: &'static str,
    /// The command, and its own arguments.
    pub(super) command: Vec<String>,
    /// Further variables of the environment.
    pub(super) variables: Vec<Json>,
    pub(super) resources: Json,
    /// Seconds beside those that every pod has to stop.
    pub(super) stop_seconds: u64,
    /// Whether the volume of the log is claimed, and so is not the pod's own.
    pub(super) has_claimed_log: bool,
}

impl Pod {
    /// The pod's template.
    pub(super) fn template(self, build: &Build<'_>) -> Json {
        let configured = build.source.serve.stop_delay_seconds;
        let mut arguments = self.command.clone();
        arguments.extend(["--addr".to_owned(), format!("0.0.0.0:{PORT}")]);
        if configured.is_none() {
            arguments.extend(["--stop-delay".to_owned(), STOP_DELAY.to_string()]);
        }
        let labels = build.selector(self.component);
        json!({
            "metadata": { "labels": labels },
            "spec": {
                "serviceAccountName": build.names.base,
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "terminationGracePeriodSeconds": configured.unwrap_or(STOP_DELAY) + STOP_SECONDS + self.stop_seconds,
                "securityContext": {
                    "runAsNonRoot": true,
                    "runAsUser": USER,
                    "runAsGroup": USER,
                    "fsGroup": USER,
                    "fsGroupChangePolicy": "OnRootMismatch",
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "topologySpreadConstraints": [{
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": { "matchLabels": labels },
                }],
                "containers": [self.container(build, arguments)],
                "volumes": self.volumes(build),
            },
        })
    }

    fn container(&self, build: &Build<'_>, arguments: Vec<String>) -> Json {
        let mut container = json!({
            "name": "tidemill",
            "image": build.options.image,
            "args": arguments,
            // Commands that are run in the container find the project too.
            "workingDir": PROJECT,
            "env": environment(build, &self.variables),
        });
        if let Some(secret) = build.needed_secret() {
            container["envFrom"] = json!([{ "secretRef": { "name": secret } }]);
        }
        let mut mounts = Vec::new();
        if build.project.is_some() {
            mounts.push(json!({ "name": "project", "mountPath": PROJECT, "readOnly": true }));
        }
        for (name, path) in [(DATA_VOLUME, STATE), ("cache", CACHE), ("tmp", "/tmp")] {
            mounts.push(json!({ "name": name, "mountPath": path }));
        }
        // Answered by the host, however many requests wait for models, and whether or not the store answers.
        let probe = |period: u64, failures: u64| {
            json!({
                "httpGet": { "path": "/healthz", "port": PORT_NAME },
                "periodSeconds": period,
                "timeoutSeconds": 5,
                "failureThreshold": failures,
            })
        };
        let rest = json!({
            "ports": [{ "name": PORT_NAME, "containerPort": PORT, "protocol": "TCP" }],
            // The first start compiles components, and reads what is in the store.
            "startupProbe": probe(2, 300),
            "readinessProbe": probe(5, 2),
            "livenessProbe": probe(10, 6),
            "resources": self.resources,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": mounts,
        });
        if let (Json::Object(container), Json::Object(rest)) = (&mut container, rest) {
            container.extend(rest);
        }
        container
    }

    fn volumes(&self, build: &Build<'_>) -> Vec<Json> {
        let mut volumes: Vec<Json> = build.project.iter().map(|project| project.volume("project")).collect();
        let own = [DATA_VOLUME, "cache", "tmp"].into_iter();
        let own = own.filter(|name| !(self.has_claimed_log && *name == DATA_VOLUME));
        volumes.extend(own.map(|name| json!({ "name": name, "emptyDir": {} })));
        volumes
    }
}

/// The variables of every pod, and further ones.
fn environment(build: &Build<'_>, more: &[Json]) -> Vec<Json> {
    let mut variables = vec![
        json!({ "name": "TIDEMILL_STORE", "value": build.options.store }),
        json!({ "name": "TIDEMILL_STATE", "value": STATE }),
        json!({ "name": "XDG_CACHE_HOME", "value": CACHE }),
    ];
    if let Some(endpoint) = &build.options.endpoint {
        variables.push(json!({ "name": "AWS_ENDPOINT_URL", "value": endpoint }));
        if endpoint.starts_with("http://") {
            variables.push(json!({ "name": "AWS_ALLOW_HTTP", "value": "true" }));
        }
    }
    variables.extend(more.iter().cloned());
    variables
}
