//! The command as it is typed: what it writes, what its plan says, and what it says when it cannot.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tidemill_deploy::k8s::FILES;
use tidemill_engine::HttpLimits;
use tidemill_tests::{small, trained};

use super::{objects, project_files, workload};

const DEPLOY: [&str; 6] = ["--store", "s3://tide/mill", "deploy", "k8s", "--image", "tidemill:test"];

fn said(output: &Output) -> String {
    // Where its lines are broken depends on the width.
    let text = [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes))
        .concat();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn deploy(tidemill: &Path, project: &Path, more: &[&str]) -> Result<Output> {
    let mut command = Command::new(tidemill);
    Ok(command.args(DEPLOY).args(more).current_dir(project).output()?)
}

#[test]
fn a_project_is_written_and_planned() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = small::project(folder.path())?;
    let first = deploy(&tidemill, &project, &["--plan", "--exit-code"])?;
    ensure!(
        first.status.code() == Some(10) && said(&first).contains("+ small-coordinator"),
        "{}",
        said(&first)
    );
    ensure!(!project.join("k8s").exists(), "a plan writes nothing");

    let written = deploy(&tidemill, &project, &["--json", "--namespace", "ml"])?;
    ensure!(written.status.success(), "{}", said(&written));
    let written: Value = serde_json::from_slice(&written.stdout)?;
    ensure!(written["secret"] == "small-store" && written["name"] == "small", "{written}");
    let objects = objects(&project.join("k8s"))?;
    ensure!(written["objects"] == objects.len(), "{written}");
    ensure!(
        objects.iter().all(|object| object["metadata"]["namespace"] == "ml"),
        "an object is in another namespace"
    );
    let files = project_files(&objects, workload(&objects, "serve")?)?;
    for (path, text) in &files {
        ensure!(fs::read_to_string(project.join(path))? == *text, "{path}");
    }
    ensure!(files.len() == 3, "{:?}", files.keys());

    let again = deploy(&tidemill, &project, &["--namespace", "ml", "--plan", "--exit-code"])?;
    ensure!(
        again.status.success() && said(&again).starts_with("nothing differs"),
        "{}",
        said(&again)
    );
    let larger = deploy(&tidemill, &project, &["--namespace", "ml", "--servers", "3", "--plan"])?;
    ensure!(said(&larger).contains("spec.minReplicas: 2 → 3"), "{}", said(&larger));
    // What is no more written is removed.
    ensure!(deploy(&tidemill, &project, &["--no-monitor"])?.status.success());
    ensure!(!project.join("k8s/monitor.yaml").exists());
    let there = fs::read_dir(project.join("k8s"))?.count();
    ensure!(there == FILES.len() - 1, "{there} files");
    Ok(())
}

/// A pod has the time that its process needs to stop.
#[test]
fn pods_have_time_to_stop() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = small::project(folder.path())?;
    ensure!(deploy(&tidemill, &project, &[])?.status.success());
    let objects = objects(&project.join("k8s"))?;
    for command in ["up", "serve"] {
        let pod = &workload(&objects, command)?["spec"]["template"]["spec"];
        let arguments = pod["containers"][0]["args"].as_array().context("no arguments")?;
        let mut after = arguments.iter().skip_while(|argument| *argument != "--stop-delay").skip(1);
        let delay: u64 = after.next().and_then(Value::as_str).context("no delay")?.parse()?;
        // The store is tried for 20 seconds.
        let needed = delay + HttpLimits::default().drain.as_secs() + 20;
        let granted = pod["terminationGracePeriodSeconds"].as_u64().context("no time")?;
        ensure!(granted > needed, "`{command}` has {granted} s to stop, and may need {needed}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_deployed_is_said() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = small::project(folder.path())?;
    let says = |output: Output, code: i32, parts: &[&str]| -> Result<()> {
        let said = said(&output);
        ensure!(output.status.code() == Some(code), "{} instead of {code}: {said}", output.status);
        parts.iter().try_for_each(|part| {
            ensure!(said.contains(part), "no `{part}` in: {said}");
            Ok(())
        })
    };
    let mut without_store = Command::new(&tidemill);
    without_store
        .args(["deploy", "k8s", "--image", "x"])
        .env_remove("TIDEMILL_STORE")
        .current_dir(&project);
    says(without_store.output()?, 2, &[".tidemill/store`", "`--store s3://bucket/prefix`"])?;
    says(
        deploy(&tidemill, &project, &["--dir", "tidemill.toml"])?,
        3,
        &["`tidemill.toml` is a file"],
    )?;
    let toml = fs::read_to_string(project.join("tidemill.toml"))?;
    let named = |name: &str| toml.replacen("name = \"small\"", &format!("name = \"{name}\""), 1);
    fs::write(project.join("tidemill.toml"), named("2_small"))?;
    says(
        deploy(&tidemill, &project, &[])?,
        2,
        &["`2_small`", "`2-small` must begin with a letter"],
    )?;
    fs::write(project.join("tidemill.toml"), named("Small_2"))?;
    says(
        deploy(&tidemill, &project, &[])?,
        0,
        &["named `small-2`", "note: the objects of `Small_2`"],
    )?;
    let stage = "\n[[stage]]\nname = \"large\"\ncomponent = \"large.wasm\"\non = \"drop/**\"\n";
    fs::write(project.join("tidemill.toml"), toml + stage)?;
    says(deploy(&tidemill, &project, &[])?, 2, &["`large.wasm`", "build it"])?;
    fs::write(project.join("large.wasm"), vec![0xff; 2 << 20])?;
    says(
        deploy(&tidemill, &project, &[])?,
        2,
        &["1 MiB", "`large.wasm (2.0 MiB)`", "`--project-in-image`"],
    )?;
    says(deploy(&tidemill, &project, &["--project-in-image"])?, 0, &["kubectl apply"])?;
    ensure!(!project.join("k8s/project.yaml").exists(), "the image has the project");
    Ok(())
}
