//! `tidemill deploy k8s` and `tidemill serve`: what is written, and what happens in the pods that it describes.
//!
//! There is no cluster here. A pod is a process with the command line, the variables and the mounts of its manifest, whose volumes are folders:
//! see `pod`. What the schemas say of the manifests is tested beside their renderer, in `runtime/deploy/tests/k8s`.

mod pod;
mod servers;
mod written;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tidemill_deploy::k8s::{KUSTOMIZATION, read};

/// The objects that a folder's kustomization names.
fn objects(folder: &Path) -> Result<Vec<Value>> {
    let parse = |name: &str| -> Result<Vec<Value>> {
        let text = fs::read_to_string(folder.join(name)).with_context(|| name.to_owned())?;
        Ok(read(name, &text)?)
    };
    let kustomization = parse(KUSTOMIZATION)?;
    let mut found = Vec::new();
    for name in kustomization[0]["resources"].as_array().into_iter().flatten() {
        found.extend(parse(name.as_str().context("a name")?)?);
    }
    Ok(found)
}

/// The workload whose container runs this command.
fn workload<'a>(objects: &'a [Value], command: &str) -> Result<&'a Value> {
    let runs = |object: &&Value| object["spec"]["template"]["spec"]["containers"][0]["args"][0] == command;
    objects.iter().find(runs).with_context(|| format!("no pod runs `{command}`"))
}

/// The files of the project, by their paths, as a pod sees them.
fn project_files(objects: &[Value], workload: &Value) -> Result<BTreeMap<String, String>> {
    let volumes = workload["spec"]["template"]["spec"]["volumes"].as_array().context("no volumes")?;
    let volume = volumes.iter().find(|volume| volume["name"] == "project").context("no project")?;
    let map = objects
        .iter()
        .find(|object| object["kind"] == "ConfigMap" && object["metadata"]["name"] == volume["configMap"]["name"]);
    let map = map.context("the pod's ConfigMap is not written")?;
    let mut files = BTreeMap::new();
    for item in volume["configMap"]["items"].as_array().into_iter().flatten() {
        let text = |field: &str| item[field].as_str().context("an item lacks a field");
        let data = map["data"][text("key")?].as_str().context("a file is not in the ConfigMap")?;
        files.insert(text("path")?.to_owned(), data.to_owned());
    }
    ensure!(files.contains_key("tidemill.toml"), "{:?}", files.keys());
    Ok(files)
}
