//! What all objects have in common, and the objects of which there is one.

use serde_json::{Value as Json, json};
use tidemill_core::{Error, Result, secret::SecretRef, text::quoted_list};

use super::{File, KUSTOMIZATION, Options, Source, address::url_port, names::Names, project::ProjectFiles};

/// The name of the container's port, of the Services' port, and of what policies let in.
pub(super) const PORT_NAME: &str = "http";

/// The objects in the making.
pub(super) struct Build<'a> {
    pub(super) source: Source<'a>,
    pub(super) options: &'a Options,
    pub(super) names: Names,
    /// `None` where the image contains the project.
    pub(super) project: Option<ProjectFiles<'a>>,
    pub(super) notes: Vec<String>,
}

impl<'a> Build<'a> {
    pub(super) fn new(source: Source<'a>, options: &'a Options) -> Result<Self> {
        check(options)?;
        let names = Names::new(&source.pipeline.project)?;
        let project = match options.project_in_image {
            true => None,
            false => Some(ProjectFiles::new(&names.base, source.files)?),
        };
        let mut build = Self {
            source,
            options,
            names,
            project,
            notes: Vec::new(),
        };
        build.note_names();
        Ok(build)
    }

    fn note_names(&mut self) {
        let project = &self.source.pipeline.project;
        if *project != self.names.base {
            self.notes.push(format!(
                "the objects of `{project}` are named `{}`: names in the cluster's DNS have lower-case letters and `-`",
                self.names.base
            ));
        }
        if !self.source.serve.hosts.is_empty() {
            self.notes.push(format!(
                "`hosts` of [serve] limits the names under which pods are asked: names of Services with a dot, such as `{}.<namespace>.svc`, must be \
                 among them",
                self.names.base
            ));
        }
    }

    /// The labels by which the pods of a component are selected. They never change: a Deployment's selector cannot.
    pub(super) fn selector(&self, component: &str) -> Json {
        let mut labels = self.instance();
        labels["app.kubernetes.io/component"] = component.into();
        labels
    }

    /// The labels of all objects of the project.
    pub(super) fn instance(&self) -> Json {
        json!({ "app.kubernetes.io/name": "tidemill", "app.kubernetes.io/instance": self.names.base })
    }

    /// The metadata of an object of a component, or of the project.
    pub(super) fn metadata(&self, name: &str, component: Option<&str>) -> Json {
        let labels = component.map_or_else(|| self.instance(), |component| self.selector(component));
        let mut metadata = json!({ "name": name });
        if let Some(namespace) = &self.options.namespace {
            metadata["namespace"] = namespace.as_str().into();
        }
        metadata["labels"] = labels;
        metadata
    }

    /// A Service of a component's pods.
    pub(super) fn service(&self, name: &str, component: &str) -> Json {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": self.metadata(name, Some(component)),
            "spec": {
                "selector": self.selector(component),
                "ports": [{ "name": PORT_NAME, "port": 80, "targetPort": PORT_NAME, "protocol": "TCP" }],
            },
        })
    }

    /// The account of all pods. It has no right in the cluster, and its token is mounted nowhere.
    pub(super) fn service_account(&self) -> Json {
        let mut metadata = self.metadata(&self.names.base, None);
        if let Some(role) = &self.options.role {
            metadata["annotations"] = json!({ "eks.amazonaws.com/role-arn": role });
        }
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": false })
    }

    pub(super) fn config_map(&self) -> Result<Option<Json>> {
        let Some(project) = &self.project else { return Ok(None) };
        Ok(Some(project.config_map(self.metadata(&project.name, None))))
    }

    /// Metrics of the coordinator and of the servers, for a Prometheus Operator.
    pub(super) fn service_monitor(&self) -> Json {
        json!({
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "ServiceMonitor",
            "metadata": self.metadata(&self.names.base, None),
            "spec": {
                "selector": { "matchLabels": self.instance() },
                "endpoints": [{ "port": PORT_NAME, "path": "/metrics", "interval": "30s" }],
            },
        })
    }

    pub(super) fn kustomization(&self, files: &[File]) -> File {
        let mut object = json!({ "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization" });
        if let Some(namespace) = &self.options.namespace {
            object["namespace"] = namespace.as_str().into();
        }
        object["resources"] = files.iter().map(|file| file.name).collect();
        File {
            name: KUSTOMIZATION,
            objects: vec![object],
        }
    }

    /// The Secret that must be there, if the pods have no role.
    pub(super) fn needed_secret(&self) -> Option<String> {
        self.options.role.is_none().then(|| self.names.store_secret.clone())
    }

    /// The variables of the environment that stages send as secrets, and their place in a Secret.
    pub(super) fn collect_secrets(&mut self) -> Result<Vec<Json>> {
        let mut variables = Vec::new();
        for node in &self.source.pipeline.nodes {
            for secret in node.secrets() {
                match secret {
                    SecretRef::Variable(name) if !variables.contains(&name) => variables.push(name),
                    SecretRef::Variable(_) => {}
                    SecretRef::File(path) => {
                        return Err(Error::config(format!(
                            "`{}` sends `file:{path}`, and there is no such file in the pods: name a variable of the environment instead, as \
                             `env:NAME`, which a Secret sets",
                            node.id()
                        )));
                    }
                }
            }
        }
        let secret = self.names.collect_secret.clone();
        if !variables.is_empty() {
            self.notes.push(format!(
                "the coordinator takes {} from the Secret `{secret}`: create it",
                quoted_list(&variables)
            ));
        }
        let reference = |name: &String| json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": secret, "key": name } } });
        Ok(variables.iter().map(reference).collect())
    }
}

fn check(options: &Options) -> Result<()> {
    let Options { image, store, .. } = options;
    if image.trim().is_empty() || image.contains(char::is_whitespace) {
        return Err(Error::config(format!(
            "`--image` is `{image}`: name the image as a container runtime does, such as `registry.example.com/tidemill:0.1.0`"
        )));
    }
    let bucket = store.strip_prefix("s3://").unwrap_or_default();
    if bucket.is_empty() || bucket.starts_with('/') {
        return Err(Error::config(format!(
            "the store is `{store}`: pods on several machines share none but a bucket, `--store s3://bucket/prefix`"
        )));
    }
    if options.servers == 0 || options.max_servers < options.servers {
        return Err(Error::config(format!(
            "`--servers {}` and `--max-servers {}`: there is at least one server, and the most are no fewer than the fewest",
            options.servers, options.max_servers
        )));
    }
    if let Some(endpoint) = &options.endpoint {
        url_port("`--endpoint`", endpoint)?;
    }
    let names = options.namespace.iter().map(|name| ("--namespace", name));
    for (option, name) in names.chain([("--monitoring-namespace", &options.monitoring_namespace)]) {
        let is_label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 63 || !name.chars().all(is_label) || name.starts_with('-') || name.ends_with('-') {
            return Err(Error::config(format!(
                "`{option}` is `{name}`: a namespace has at most 63 lower-case letters, digits and `-`, and neither begins nor ends with `-`"
            )));
        }
    }
    check_size(options.log_volume.as_deref())
}

/// The size of a volume: a number with a unit, of which too many are known for all to be listed.
fn check_size(size: Option<&str>) -> Result<()> {
    let Some(size) = size else { return Ok(()) };
    let (number, unit) = size.split_at(size.find(|c: char| !c.is_ascii_digit()).unwrap_or(size.len()));
    match number.parse::<u64>() {
        Ok(1..) if ["Mi", "Gi", "Ti", "M", "G", "T"].contains(&unit) => Ok(()),
        _ => Err(Error::config(format!(
            "`--log-volume` is `{size}`: it must be a whole number with `Mi`, `Gi`, `Ti`, `M`, `G` or `T`, such as `1Gi`"
        ))),
    }
}
