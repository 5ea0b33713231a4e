//! `tidemill deploy k8s`: writes a folder of manifests that `kubectl apply -k` takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tidemill_core::Error;
use tidemill_deploy::{
    difference::Difference,
    k8s::{self, FILES, KUSTOMIZATION, Kubernetes, Options, Source},
};

use super::{PlanArguments, folder::NewFiles, read_if_exists, render_notes, render_plan};
use crate::{
    output::Output,
    project::{PROJECT_FILE, Project, read_error},
};

/// Servers at most for each that there is at least, unless `--max-servers` says how many.
const GROWTH: u32 = 4;

/// Arguments of `deploy k8s`.
#[derive(Args)]
pub(super) struct K8s {
    /// The image of the pods, with `tidemill` as its entry point: `registry.example.com/tidemill:0.1.0`.
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// The fewest servers (`tidemill serve`), beside the one coordinator (`tidemill up`).
    #[arg(long, value_name = "NUMBER", default_value_t = 2)]
    servers: u32,
    /// The most servers that load may lead to; default: four times the fewest.
    #[arg(long, value_name = "NUMBER")]
    max_servers: Option<u32>,
    /// The namespace of all objects; default: that of the client that applies them.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The URL of the store's server, if it is not AWS: `http://storage:9000`. Its port is opened for the pods.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The ARN of an AWS role that the pods' service account stands for, instead of a Secret with keys.
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// Keep each server's log on a volume of this size that outlives its pod, such as `1Gi`: servers become a StatefulSet.
    #[arg(long, value_name = "SIZE")]
    log_volume: Option<String>,
    /// The namespace whose pods may read the coordinator's metrics, beside its own.
    #[arg(long, value_name = "NAMESPACE", default_value = "monitoring")]
    monitoring_namespace: String,
    /// Leave out the ServiceMonitor, which needs the Prometheus Operator.
    #[arg(long)]
    no_monitor: bool,
    /// The image contains the project at `/project`, which is too large for a ConfigMap.
    #[arg(long)]
    project_in_image: bool,
    /// The folder of the manifests. Default: `k8s` in the project.
    #[arg(long, alias = "out", value_name = "FOLDER")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanArguments,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Written {
    folder: String,
    /// What the names of all objects begin with.
    name: String,
    files: Vec<String>,
    objects: usize,
    /// The Secret that must be there.
    secret: Option<String>,
    notes: Vec<String>,
    /// What creates it.
    secret_command: Option<String>,
    /// What applies the folder.
    command: String,
}

#[derive(Serialize)]
struct Plan {
    folder: String,
    #[serde(flatten)]
    difference: Difference,
    notes: Vec<String>,
}

impl K8s {
    pub(super) fn run(&self, project: &Project, output: Output) -> Result<ExitCode> {
        let folder = self.dir.clone().unwrap_or_else(|| project.root.join("k8s"));
        if folder.is_file() {
            return Err(Error::input(format!(
                "`{}` is a file; name the folder that the manifests go to",
                folder.display()
            ))
            .into());
        }
        let files = match self.project_in_image {
            true => BTreeMap::new(),
            false => read_files(project)?,
        };
        let source = Source {
            pipeline: &project.pipeline,
            serve: &project.serve,
            observe: &project.observe,
            files: &files,
        };
        let kubernetes = k8s::render(source, &self.options(project))?;
        let folder = Folder(&folder);
        if self.plan.plan {
            let planned = Plan {
                folder: folder.0.display().to_string(),
                difference: folder.diff(&kubernetes)?,
                notes: kubernetes.notes,
            };
            output.print(&planned, |planned| render_plan(&planned.difference, &planned.notes))?;
            return Ok(self.plan.exit_code(&planned.difference));
        }
        let written = Written {
            files: folder.write(&kubernetes)?,
            folder: folder.0.display().to_string(),
            // The first file names the others, and is no object of the cluster.
            objects: kubernetes.files.iter().skip(1).map(|file| file.objects.len()).sum(),
            secret_command: kubernetes.secret.as_deref().map(|secret| self.secret_command(secret)),
            command: command(folder.0),
            name: kubernetes.name,
            secret: kubernetes.secret,
            notes: kubernetes.notes,
        };
        output.print(&written, Written::render_text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn options(&self, project: &Project) -> Options {
        Options {
            image: self.image.clone(),
            store: project.location.clone(),
            endpoint: self.endpoint.clone(),
            role: self.role.clone(),
            servers: self.servers,
            max_servers: self.max_servers.unwrap_or(self.servers.saturating_mul(GROWTH)),
            namespace: self.namespace.clone(),
            monitoring_namespace: self.monitoring_namespace.clone(),
            has_monitor: !self.no_monitor,
            log_volume: self.log_volume.clone(),
            project_in_image: self.project_in_image,
        }
    }

    fn secret_command(&self, secret: &str) -> String {
        let namespace = self.namespace.as_ref().map(|namespace| format!(" --namespace {namespace}"));
        let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"].map(|key| format!(" --from-literal {key}=…"));
        format!(
            "kubectl create secret generic {secret}{}{}",
            namespace.unwrap_or_default(),
            keys.concat()
        )
    }
}

/// Without `--server-side`, a ConfigMap of more than 256 KiB does not fit the annotation that a client keeps of it.
fn command(folder: &Path) -> String {
    format!("kubectl apply --server-side -k {}", folder.display())
}

/// The files that the project consists of, by their paths from its folder.
fn read_files(project: &Project) -> Result<BTreeMap<String, Vec<u8>>> {
    let (sources, pipeline) = (&project.sources, &project.pipeline);
    let components = pipeline
        .nodes
        .iter()
        .map(|node| &node.component)
        .chain([&pipeline.predict_component]);
    let own: BTreeSet<&String> = components.filter(|component| !component.starts_with("tidemill:")).collect();
    let texts = sources.contracts.values().chain(sources.queries.values()).map(String::as_str);
    let mut files = BTreeMap::new();
    for path in texts.chain([PROJECT_FILE]) {
        files.insert(path.to_owned(), read_file(&project.root.join(path))?);
    }
    for component in own {
        files.insert(component.clone(), read_file(&project.component_path(component)?)?);
    }
    Ok(files)
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    Ok(std::fs::read(path).map_err(|e| read_error(path, &e))?)
}

/// The folder of the manifests.
struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn diff(&self, kubernetes: &Kubernetes) -> Result<Difference> {
        let mut old = Vec::new();
        for name in FILES {
            let path = self.0.join(name);
            if let Some(text) = read_if_exists(&path)? {
                old.extend(k8s::read(&path.display().to_string(), &text)?);
            }
        }
        Ok(Difference::of_templates(&k8s::sections(&old), &kubernetes.sections()))
    }

    fn write(&self, kubernetes: &Kubernetes) -> Result<Vec<String>> {
        let mut files = NewFiles::begin(self.0)?;
        // What names the others comes into being last.
        for file in kubernetes.files.iter().rev() {
            files.write(file.name, file.yaml().as_bytes())?;
        }
        let is_stale = |name: &&str| kubernetes.files.iter().all(|file| file.name != *name) && self.0.join(name).is_file();
        let stale: Vec<String> = FILES.into_iter().filter(|name| is_stale(name)).map(str::to_owned).collect();
        files.commit(&stale)
    }
}

impl Written {
    fn render_text(&self) -> String {
        let secret = self.secret_command.as_ref();
        let secret = secret.map(|command| format!("\nnext: the credentials of the store: `{command}`"));
        format!(
            "wrote `{}/{KUSTOMIZATION}` and {} files beside it ({} objects, named `{}`){}{}\nthen: `{}`; docs/kubernetes.md says what is in them",
            self.folder,
            self.files.len() - 1,
            self.objects,
            self.name,
            render_notes(&self.notes),
            secret.unwrap_or_default(),
            self.command,
        )
    }
}
