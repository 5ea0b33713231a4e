//! `ARCHITECTURE.md` lists which crate depends on which, and which crates alone know an engine. Cargo must agree, to the last line. What is
//! shipped depends on no tool.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::sources::root;

/// Crates that depend on neither DuckDB, wasmtime nor the Lambda runtime, however far away.
const FREE: [&str; 12] = [
    "tidemill-core",
    "tidemill-deploy",
    "tidemill-sdk",
    "tidemill-collect",
    "tidemill-validate",
    "tidemill-featurize",
    "tidemill-train",
    "tidemill-evaluate",
    "tidemill-register",
    "tidemill-predict",
    "tidemill-monitor",
    "tidemill-retrain",
];
const ENGINES: [&str; 5] = ["duckdb", "libduckdb-sys", "wasmtime", "lambda_runtime", "lambda_http"];

fn cargo(arguments: &[&str]) -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(root()?).output()?;
    let messages = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo {arguments:?}: {messages}");
    Ok(String::from_utf8(output.stdout)?)
}

/// A crate of the workspace.
struct Crate {
    /// Its folder in the checkout: `runtime/core`.
    folder: String,
    /// Its dependencies in all targets, without those of its tests.
    dependencies: BTreeSet<String>,
}

/// The crates of the workspace, by name.
fn crates() -> Result<BTreeMap<String, Crate>> {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"])?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let root = metadata["workspace_root"].as_str().context("cargo metadata has no root")?;
    packages.iter().map(|package| read_crate(root, package)).collect()
}

fn read_crate(root: &str, package: &Value) -> Result<(String, Crate)> {
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let manifest = Path::new(package["manifest_path"].as_str().context("a package has no manifest")?);
    let folder = manifest.parent().context("a manifest is in no folder")?.strip_prefix(root)?;
    let all = package["dependencies"].as_array().into_iter().flatten();
    let found = Crate {
        folder: folder.display().to_string(),
        dependencies: all.filter(|dependency| dependency["kind"] != "dev").map(name).collect(),
    };
    Ok((name(package), found))
}

/// Dependencies of what is shipped (`functions`, `runtime`) on tools (`infra`, `tests`), as messages.
fn dependencies_on_tools(crates: &BTreeMap<String, Crate>) -> Vec<String> {
    let is_in = |found: &Crate, folders: [&str; 2]| folders.iter().any(|folder| Path::new(&found.folder).starts_with(folder));
    let shipped = crates.iter().filter(|(_, found)| is_in(found, ["functions", "runtime"]));
    let mut wrong = Vec::new();
    for (name, Crate { folder, dependencies }) in shipped {
        let tools = dependencies.iter().filter_map(|other| Some((other, crates.get(other)?)));
        for (other, tool) in tools.filter(|(_, tool)| is_in(tool, ["infra", "tests"])) {
            wrong.push(format!("`{name}` ({folder}) depends on `{other}` ({})", tool.folder));
        }
    }
    wrong
}

/// `ARCHITECTURE.md` before, in and behind the fence `text crates`.
fn architecture() -> Result<[String; 3]> {
    const FENCE: &str = "```text crates\n";
    let text = std::fs::read_to_string(root()?.join("ARCHITECTURE.md"))?;
    let (before, rest) = text.split_once(FENCE).context("ARCHITECTURE.md has no fence `text crates`")?;
    let (fence, behind) = rest.split_once("```").context("a fence is open")?;
    Ok([format!("{before}{FENCE}"), fence.to_owned(), format!("```{behind}")])
}

/// `tidemill-core` is `core`, and nothing else begins like that.
fn short(name: &str) -> &str {
    name.strip_prefix("tidemill-").unwrap_or(name)
}

#[test]
fn crates_depend_on_what_the_architecture_says() -> Result<()> {
    let crates = crates()?;
    let is_ours = |name: &String| crates.contains_key(name);
    // Guests all depend on the same, and nothing depends on them.
    let is_listed = |name: &str| !name.starts_with("tidemill-guest-") && name != "xtask";
    let mut expected: Vec<String> = Vec::new();
    for (name, found) in crates.iter().filter(|(name, _)| is_listed(name)) {
        let ours: BTreeSet<&str> = found
            .dependencies
            .iter()
            .filter(|name| is_ours(name))
            .map(|name| short(name))
            .collect();
        let ours: Vec<&str> = ours.into_iter().collect();
        expected.push(format!("{} → {}", short(name), ours.join(", ")).trim_end().to_owned());
    }
    for engine in ["duckdb", "wasmtime", "lambda_runtime", "ort", "tract-onnx"] {
        let users: Vec<&str> = crates
            .iter()
            .filter(|(_, found)| found.dependencies.contains(engine))
            .map(|(name, _)| short(name))
            .collect();
        expected.push(format!("{engine} ← {}", users.join(", ")));
    }
    let [before, listed, behind] = architecture()?;
    if std::env::var_os("TIDEMILL_UPDATE").is_some() {
        std::fs::write(
            root()?.join("ARCHITECTURE.md"),
            format!("{before}{}\n{behind}", expected.join("\n")),
        )?;
        return Ok(());
    }
    let listed: Vec<&str> = listed.lines().collect();
    let missing: Vec<&String> = expected.iter().filter(|line| !listed.contains(&line.as_str())).collect();
    let wrong: Vec<&&str> = listed.iter().filter(|line| !expected.iter().any(|known| known == *line)).collect();
    ensure!(
        missing.is_empty() && wrong.is_empty(),
        "ARCHITECTURE.md, fence `text crates`: the manifests say {missing:#?}, and not {wrong:#?}; TIDEMILL_UPDATE=1 writes them there"
    );
    Ok(())
}

#[test]
fn what_is_shipped_depends_on_no_tool() -> Result<()> {
    let crates = crates()?;
    let shipped = crates.values().filter(|found| found.folder.starts_with("runtime/")).count();
    ensure!(shipped > 20, "{shipped} crates are in `runtime`");
    let wrong = dependencies_on_tools(&crates);
    ensure!(
        wrong.is_empty(),
        "crates of `functions` and `runtime` are shipped, crates of `infra` and `tests` are not: {wrong:#?}; move what both need to `runtime`"
    );
    Ok(())
}

#[test]
fn a_dependency_on_a_tool_is_found() {
    let found = |folder: &str, dependencies: &[&str]| Crate {
        folder: folder.into(),
        dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
    };
    let crates = BTreeMap::from([
        ("cli".to_owned(), found("runtime/cli", &["core", "harness", "serde"])),
        ("core".to_owned(), found("runtime/core", &[])),
        ("bench".to_owned(), found("infra/bench", &["cli", "harness"])),
        ("harness".to_owned(), found("tests/harness", &["core"])),
        ("train".to_owned(), found("functions/train", &["bench"])),
    ]);
    let expected = [
        "`cli` (runtime/cli) depends on `harness` (tests/harness)",
        "`train` (functions/train) depends on `bench` (infra/bench)",
    ];
    assert_eq!(dependencies_on_tools(&crates), expected);
}

#[test]
fn stages_deploy_and_core_know_no_engine() -> Result<()> {
    for name in FREE {
        let tree = cargo(&[
            "tree",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--package",
            name,
        ])?;
        let found: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        for engine in ENGINES {
            ensure!(
                !found.contains(engine),
                "`{name}` depends on `{engine}`: `cargo tree --package {name} --invert {engine}`"
            );
        }
    }
    Ok(())
}
