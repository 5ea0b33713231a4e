//! `ARCHITECTURE.md` lists which crate depends on which, and which crates alone know an engine. Cargo must agree, to the last line.

use std::{
    collections::{BTreeMap, BTreeSet},
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

/// Each crate of the workspace with its dependencies in all targets, without those of its tests.
fn dependencies() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"])?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let of = |package: &Value| {
        let all = package["dependencies"].as_array().into_iter().flatten();
        all.filter(|dependency| dependency["kind"] != "dev").map(name).collect()
    };
    Ok(packages.iter().map(|package| (name(package), of(package))).collect())
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
    let dependencies = dependencies()?;
    let is_ours = |name: &String| dependencies.contains_key(name);
    // Guests all depend on the same, and nothing depends on them.
    let is_listed = |name: &str| !name.starts_with("tidemill-guest-") && name != "xtask";
    let mut expected: Vec<String> = Vec::new();
    for (name, all) in dependencies.iter().filter(|(name, _)| is_listed(name)) {
        let ours: BTreeSet<&str> = all.iter().filter(|name| is_ours(name)).map(|name| short(name)).collect();
        let ours: Vec<&str> = ours.into_iter().collect();
        expected.push(format!("{} → {}", short(name), ours.join(", ")).trim_end().to_owned());
    }
    for engine in ["duckdb", "wasmtime", "lambda_runtime", "ort", "tract-onnx"] {
        let users: Vec<&str> = dependencies
            .iter()
            .filter(|(_, all)| all.contains(engine))
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
