//! What is rendered for Kubernetes.

mod golden;
mod rules;
mod validators;

use std::collections::BTreeMap;

use serde_json::Value as Json;
use tidemill_core::{Result, project::PROJECT_FILE};
use tidemill_deploy::k8s::{Kubernetes, Options, Source, render};

use crate::projects::Project;

/// The options of the committed example.
fn options() -> Options {
    Options {
        image: "registry.example.com/tidemill:0.1.0".into(),
        store: "s3://my-bucket/flights".into(),
        endpoint: None,
        role: None,
        servers: 2,
        max_servers: 8,
        namespace: None,
        monitoring_namespace: "monitoring".into(),
        has_monitor: true,
        log_volume: None,
        project_in_image: false,
    }
}

/// Options that are all other ones.
fn other_options() -> Options {
    Options {
        endpoint: Some("http://storage:9000".into()),
        role: Some("arn:aws:iam::123456789012:role/flights".into()),
        namespace: Some("ml".into()),
        log_volume: Some("1Gi".into()),
        ..options()
    }
}

impl Project {
    fn k8s(&self, options: &Options) -> Kubernetes {
        self.try_k8s("", options).unwrap()
    }

    /// With more in its `tidemill.toml`. Components are a few bytes.
    fn try_k8s(&self, more: &str, options: &Options) -> Result<Kubernetes> {
        let project = self.parse(more)?;
        let mut files = BTreeMap::from([(PROJECT_FILE.to_owned(), (self.read(PROJECT_FILE)? + more).into_bytes())]);
        for path in project.sources.contracts.values().chain(project.sources.queries.values()) {
            files.insert(path.clone(), self.read(path)?.into_bytes());
        }
        for node in &project.pipeline.nodes {
            if !node.component.starts_with("tidemill:") {
                files.insert(node.component.clone(), b"\0asm\x0d\xff".to_vec());
            }
        }
        let source = Source {
            pipeline: &project.pipeline,
            serve: &project.serve,
            observe: &project.observe,
            files: &files,
        };
        render(source, options)
    }
}

/// All objects of the cluster.
fn objects(kubernetes: &Kubernetes) -> Vec<&Json> {
    kubernetes.files.iter().skip(1).flat_map(|file| &file.objects).collect()
}

/// Those of a kind.
fn of_kind<'a>(kubernetes: &'a Kubernetes, kind: &str) -> Vec<&'a Json> {
    let mut objects = objects(kubernetes);
    objects.retain(|object| object["kind"] == kind);
    objects
}
