//! Kubernetes: one coordinator (`tidemill up`) and N servers (`tidemill serve`) over a bucket, and what surrounds them: services, scaling,
//! disruption, network, metrics. The objects follow from the project and the options; nothing is asked of a cluster.
//!
//! Servers are a Deployment whose log is on a volume that lives as long as the pod: a prediction survives the death of its process, not that
//! of its pod. [`Options::log_volume`] makes them a StatefulSet, whose volumes outlive pods.

mod address;
mod build;
mod coordinator;
mod names;
mod network;
mod pod;
mod project;
mod resources;
mod servers;

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::{Value as Json, json};
use tidemill_core::{
    Error, Result,
    pipeline::Pipeline,
    project::{ObserveSettings, ServerSettings},
};

use crate::yaml;

use self::build::Build;
pub use self::project::MAX_PROJECT_BYTES;

/// The file that names the others.
pub const KUSTOMIZATION: &str = "kustomization.yaml";
/// All files that may be written. One that is not written for a project does not belong in its folder.
pub const FILES: [&str; 7] = [
    KUSTOMIZATION,
    "account.yaml",
    "coordinator.yaml",
    "servers.yaml",
    "network.yaml",
    "project.yaml",
    "monitor.yaml",
];

/// The options that do not follow from the project.
#[derive(Debug, Clone)]
pub struct Options {
    /// The image, with `tidemill` as its entry point.
    pub image: String,
    /// The location of the store: `s3://bucket/prefix`.
    pub store: String,
    /// The URL of the store's server, if it is not AWS.
    pub endpoint: Option<String>,
    /// The AWS role of the pods' service account; without one, a Secret has the credentials.
    pub role: Option<String>,
    /// The fewest servers.
    pub servers: u32,
    /// The most servers.
    pub max_servers: u32,
    /// The namespace of all objects; `None` leaves it to the client that applies them.
    pub namespace: Option<String>,
    /// The namespace whose pods may read the coordinator's metrics.
    pub monitoring_namespace: String,
    /// Whether there is a Prometheus Operator.
    pub has_monitor: bool,
    /// The size of a volume for each server's log, such as `1Gi`; `None` keeps the log as long as the pod.
    pub log_volume: Option<String>,
    /// Whether the image contains the project, at `/project`.
    pub project_in_image: bool,
}

/// What is deployed.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its pipeline.
    pub pipeline: &'a Pipeline,
    /// `[serve]` of its file.
    pub serve: &'a ServerSettings,
    /// `[observe]` of its file.
    pub observe: &'a ObserveSettings,
    /// Its files, by their paths from its folder: `tidemill.toml`, what that names, and the components that are not Tidemill's.
    pub files: &'a BTreeMap<String, Vec<u8>>,
}

/// A project on Kubernetes.
#[derive(Debug, Clone)]
pub struct Kubernetes {
    /// What the names of all objects begin with.
    pub name: String,
    /// The files, [`KUSTOMIZATION`] first.
    pub files: Vec<File>,
    /// The name of the Secret that is needed beside them, if one is.
    pub secret: Option<String>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// A file with objects.
#[derive(Debug, Clone)]
pub struct File {
    /// Its name in the folder.
    pub name: &'static str,
    /// Its objects.
    pub objects: Vec<Json>,
}

impl File {
    /// The objects as YAML documents.
    pub fn yaml(&self) -> String {
        let documents: Vec<String> = self.objects.iter().map(yaml::document).collect();
        format!(
            "# Written by `tidemill deploy k8s` from tidemill.toml: change that, and write this again.\n{}",
            documents.join("---\n")
        )
    }
}

impl Kubernetes {
    /// The objects by kind and name, as a difference compares them.
    pub fn sections(&self) -> Json {
        sections(self.files.iter().flat_map(|file| &file.objects))
    }
}

/// Objects by kind and name.
pub fn sections<'a>(objects: impl IntoIterator<Item = &'a Json>) -> Json {
    let mut sections = json!({});
    for object in objects {
        let kind = object["kind"].as_str().unwrap_or_default();
        let name = object["metadata"]["name"].as_str().unwrap_or(kind);
        sections[kind][name] = object.clone();
    }
    sections
}

/// Reads the objects of a file that was written before.
///
/// # Errors
/// `Input` if it is not YAML.
pub fn read(name: &str, text: &str) -> Result<Vec<Json>> {
    let documents = serde_norway::Deserializer::from_str(text);
    let objects: std::result::Result<Vec<Json>, _> = documents.map(Json::deserialize).collect();
    objects.map_err(|e| {
        Error::input(format!(
            "`{name}` cannot be read as YAML: {}; mend it, or remove it and write it again",
            e.to_string().lines().next().unwrap_or_default()
        ))
    })
}

/// Writes the objects.
///
/// # Errors
/// `Config`: what Kubernetes does not take of this project or of these options, and what to change.
pub fn render(source: Source<'_>, options: &Options) -> Result<Kubernetes> {
    let mut build = Build::new(source, options)?;
    let mut files = vec![
        File {
            name: "account.yaml",
            objects: vec![build.service_account()],
        },
        File {
            name: "coordinator.yaml",
            objects: coordinator::objects(&mut build)?,
        },
        File {
            name: "servers.yaml",
            objects: servers::objects(&mut build)?,
        },
        File {
            name: "network.yaml",
            objects: network::policies(&build)?,
        },
    ];
    files.extend(build.config_map()?.map(|object| File {
        name: "project.yaml",
        objects: vec![object],
    }));
    if options.has_monitor {
        files.push(File {
            name: "monitor.yaml",
            objects: vec![build.service_monitor()],
        });
    }
    files.insert(0, build.kustomization(&files));
    Ok(Kubernetes {
        name: build.names.base.clone(),
        files,
        secret: build.needed_secret(),
        notes: build.notes,
    })
}
