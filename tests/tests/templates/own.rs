//! Each generated project builds, passes its own test, and is one that `tidemill check` accepts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::tools::{Tools, block, files, said, succeeded};

/// Makes a project with a name that needs changing, does what its README says, and checks it.
fn works(template: &str, set: &[&str]) -> Result<()> {
    let Some(tools) = Tools::find() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let mut project = tools.new_project(template, folder.path(), "My first_one", set)?;
    if project.join("Cargo.toml").is_file() {
        if !project.join("Cargo.lock").exists() {
            // The versions that everything else is tested with, not those of the day.
            fs::copy(
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock"),
                project.join("Cargo.lock"),
            )?;
        }
        project = keep(template, &project)?;
    }
    let readme = fs::read_to_string(project.join("README.md"))?;
    if block(&readme, "build").is_some() {
        tools.readme(&project, "build")?;
    }
    if block(&readme, "test").is_some() {
        tools.readme(&project, "test")?;
    }
    let check = Command::new(&tools.tidemill).arg("check").current_dir(&project).output()?;
    succeeded(check).with_context(|| format!("{template}: tidemill check"))?;
    // The components that `tidemill.toml` names are there.
    let toml: toml::Table = toml::from_str(&fs::read_to_string(project.join("tidemill.toml"))?)?;
    for stage in toml.get("stage").and_then(|stages| stages.as_array()).into_iter().flatten() {
        let component = stage["component"].as_str().context("a component is a path")?;
        ensure!(project.join(component).is_file(), "{template}: `{component}` was not built");
    }
    Ok(())
}

/// The project in a folder that stays from run to run, where cargo compiles what changed alone.
fn keep(template: &str, project: &Path) -> Result<PathBuf> {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("own").join(template);
    fs::create_dir_all(&kept)?;
    // Its component. What cargo keeps is elsewhere: see `tools.rs`.
    let _ = fs::remove_dir_all(kept.join("target"));
    let (before, now) = (files(&kept)?, files(project)?);
    for stale in before.difference(&now) {
        fs::remove_file(kept.join(stale))?;
    }
    for name in &now {
        let (from, to) = (project.join(name), kept.join(name));
        if fs::read(&to).ok() != Some(fs::read(&from)?) {
            fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
            fs::copy(from, to)?;
        }
    }
    Ok(kept)
}

fn checkout() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    format!("tidemill-path={}", root.canonicalize().unwrap_or(root).display())
}

#[test]
fn flights() -> Result<()> {
    works("flights", &[])
}

#[test]
fn tabular() -> Result<()> {
    works("tabular", &["trainer=linear"])
}

#[test]
fn onnx() -> Result<()> {
    works("onnx", &[])
}

#[test]
fn stage_python() -> Result<()> {
    works("stage-python", &[])
}

#[test]
fn stage_js() -> Result<()> {
    works("stage-js", &[])
}

#[test]
fn stage_rust() -> Result<()> {
    works("stage-rust", &[])
}

#[test]
fn lambda_stage() -> Result<()> {
    works("lambda-stage", &[&checkout()])
}

/// A test that cannot fail shows nothing: a stage that is wrong is found by its own.
#[test]
fn their_tests_can_fail() -> Result<()> {
    let Some(tools) = Tools::find() else { return Ok(()) };
    for (template, file, right, wrong) in [
        ("stage-python", "summary.py", "rows += 1", "rows += 2"),
        ("stage-js", "summary.js", "rows += 1", "rows += 2"),
    ] {
        let folder = tempfile::tempdir()?;
        let project = tools.new_project(template, folder.path(), "mine", &[])?;
        let text = fs::read_to_string(project.join(file))?;
        ensure!(text.contains(right), "{file}");
        fs::write(project.join(file), text.replace(right, wrong))?;
        ensure!(
            tools.readme(&project, "test").is_err(),
            "{template}: its test does not see a wrong sum"
        );
    }
    Ok(())
}

/// The contract in the templates is the one of this version.
#[test]
fn the_contract_is_the_same() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let contract = fs::read_to_string(root.join("runtime/wit/stage/stage.wit"))?;
    for template in ["stage-python", "stage-js"] {
        let copy = root.join("templates").join(template).join("content/wit/stage.wit");
        ensure!(
            fs::read_to_string(&copy)? == contract,
            "{} is not runtime/wit/stage/stage.wit: copy it there",
            copy.display()
        );
    }
    Ok(())
}

/// What a README tells to install is what these tests ran with.
#[test]
fn versions_are_those_that_were_tested() -> Result<()> {
    let Some(tools) = Tools::find() else { return Ok(()) };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates");
    let python = fs::read_to_string(root.join("stage-python/content/README.md"))?;
    let version = Command::new(tools.python.join("componentize-py")).arg("--version").output()?;
    let version = said(&version).trim().replace(' ', "==");
    ensure!(python.contains(&format!("pip install {version}\n")), "{version}");
    let package = fs::read_to_string(root.join("stage-js/content/package.json"))?;
    let jco = fs::read_to_string(tools.jco.join("node_modules/@bytecodealliance/jco/package.json"))?;
    let jco: serde_json::Value = serde_json::from_str(&jco)?;
    let version = jco["version"].as_str().context("jco has no version")?;
    ensure!(package.contains(&format!("\"@bytecodealliance/jco\": \"{version}\"")), "{version}");
    Ok(())
}
