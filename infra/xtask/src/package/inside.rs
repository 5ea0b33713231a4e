//! What is inside a package: the crates that its programs and components are made of, as cargo resolves them, and libraries of others.
//!
//! Crates that only make something at compile time (procedural macros, build scripts, tests) are not inside.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::arch::Arch;
use crate::{
    guests,
    machine::{Environment, Machine, capture},
    wasm,
};

/// The packages of the programs.
const PROGRAMS: [&str; 2] = ["tidemill-cli", "tidemill-lambda"];

/// A crate by name and version.
pub(super) type Key = (String, String);

/// All crates of a package.
pub(super) struct Inside {
    /// Tidemill's version.
    pub(super) version: String,
    pub(super) crates: BTreeMap<Key, Crate>,
    /// The compiler, whose standard library is inside too: `1.95.0`.
    pub(super) rust: String,
}

/// A crate that is inside.
#[derive(Debug, Clone, Default)]
pub(super) struct Crate {
    /// Its SPDX expression.
    pub(super) licence: Option<String>,
    pub(super) repository: Option<String>,
    /// Where its source is.
    pub(super) folder: PathBuf,
    /// Whether it is one of this workspace.
    pub(super) is_ours: bool,
    /// Of the archive that the registry serves.
    pub(super) checksum: Option<String>,
    /// What of the other crates it uses.
    pub(super) uses: BTreeSet<Key>,
}

impl Inside {
    pub(super) fn read(machine: &Machine, arch: Arch) -> Result<Self> {
        let programs: Vec<String> = PROGRAMS.map(str::to_owned).into();
        let mut keys = tree(machine, arch.triple(), &programs)?;
        for group in guests::shipped(&machine.root)? {
            keys.extend(tree(machine, wasm::TARGET, &group)?);
        }
        let mut cargo = machine.cargo(&Environment::default());
        let metadata = capture(cargo.args(["metadata", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&metadata).context("cargo's metadata is no JSON")?;
        let lock = std::fs::read_to_string(machine.root.join("Cargo.lock"))?;
        let crates = describe(&metadata, &keys, &checksums(&lock))?;
        let ours = crates.iter().find(|((name, _), _)| name == PROGRAMS[0]);
        let version = ours.map(|((_, version), _)| version.clone()).context("the program is no crate")?;
        let rust = capture(machine.command("rustc").arg("--version"))?;
        Ok(Self {
            version,
            crates,
            rust: rust.split_whitespace().nth(1).unwrap_or("unknown").to_owned(),
        })
    }
}

/// The crates that end up in what these packages make, with the features that one cargo call gives them.
fn tree(machine: &Machine, target: &str, packages: &[String]) -> Result<BTreeSet<Key>> {
    let mut cargo = machine.cargo(&Environment::default());
    cargo.args(["tree", "--target", target, "--edges", "normal,no-proc-macro"]);
    cargo.args(["--prefix", "none", "--format", "{p}"]);
    packages.iter().for_each(|package| _ = cargo.args(["--package", package]));
    parse_tree(&capture(&mut cargo)?)
}

/// Lines such as `serde v1.0.229` and `tidemill-core v0.1.0 (/checkout/runtime/core) (*)`.
fn parse_tree(text: &str) -> Result<BTreeSet<Key>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?;
            Some((name.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
        })
        .collect::<Option<_>>()
        .context("`cargo tree` printed a line that names no crate and version")
}

/// Checksums of the lock file.
fn checksums(lock: &str) -> BTreeMap<Key, String> {
    let value = |block: &str, name: &str| {
        let line = block.lines().find(|line| line.starts_with(&format!("{name} = ")))?;
        Some(line.split('"').nth(1)?.to_owned())
    };
    let blocks = lock.split("[[package]]");
    blocks
        .filter_map(|block| Some(((value(block, "name")?, value(block, "version")?), value(block, "checksum")?)))
        .collect()
}

/// These crates, as cargo's metadata describes them.
fn describe(metadata: &Value, keys: &BTreeSet<Key>, checksums: &BTreeMap<Key, String>) -> Result<BTreeMap<Key, Crate>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let key = |package: &Value| Some((text(&package["name"])?, text(&package["version"])?));
    let packages = metadata["packages"].as_array().context("cargo's metadata has no packages")?;
    let by_id: BTreeMap<&str, Key> = packages
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, key(package)?)))
        .collect();
    let mut found = BTreeMap::new();
    for package in packages {
        let Some(key) = key(package).filter(|key| keys.contains(key)) else {
            continue;
        };
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
        let described = Crate {
            // Before SPDX expressions, a slash stood for a choice.
            licence: text(&package["license"]).map(|text| text.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")),
            repository: text(&package["repository"]),
            folder: manifest.parent().map(PathBuf::from).unwrap_or_default(),
            is_ours: package["source"].is_null(),
            checksum: checksums.get(&key).cloned(),
            uses: BTreeSet::new(),
        };
        found.insert(key, described);
    }
    let nodes = metadata["resolve"]["nodes"].as_array().context("cargo's metadata has no graph")?;
    for node in nodes {
        let Some(user) = node["id"].as_str().and_then(|id| by_id.get(id)).and_then(|key| found.get_mut(key)) else {
            continue;
        };
        for dependency in node["deps"].as_array().into_iter().flatten() {
            let kinds = dependency["dep_kinds"].as_array();
            let is_normal = kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()));
            let used = dependency["pkg"].as_str().and_then(|id| by_id.get(id));
            if let Some(used) = used.filter(|used| is_normal && keys.contains(*used)) {
                user.uses.insert(used.clone());
            }
        }
    }
    let missing: Vec<&Key> = keys.iter().filter(|key| !found.contains_key(*key)).collect();
    anyhow::ensure!(missing.is_empty(), "cargo's metadata does not describe {missing:?}");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str, version: &str) -> Key {
        (name.into(), version.into())
    }

    #[test]
    fn a_tree_is_read() {
        let text = "tidemill-cli v0.1.0 (/checkout/runtime/cli)\nserde v1.0.229\n\nserde v1.0.229 (*)\n";
        assert_eq!(
            parse_tree(text).unwrap(),
            BTreeSet::from([key("serde", "1.0.229"), key("tidemill-cli", "0.1.0")])
        );
        assert!(parse_tree("nonsense\n").is_err());
    }

    #[test]
    fn crates_are_described_with_what_they_use() {
        let package = |name: &str, source: Value| {
            json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/ISC", "repository": null, "source": source,
                "manifest_path": format!("/crates/{name}/Cargo.toml")})
        };
        let dependency = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [package("a", Value::Null), package("b", json!("registry")), package("macros", json!("registry"))],
            "resolve": {"nodes": [{"id": "a", "deps": [dependency("b", Value::Null), dependency("b", json!("dev")),
                dependency("macros", Value::Null)]}]},
        });
        let keys = BTreeSet::from([key("a", "1.0.0"), key("b", "1.0.0")]);
        let lock =
            "[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nchecksum = \"00ff\"\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n";
        let crates = describe(&metadata, &keys, &checksums(lock)).unwrap();
        let (a, b) = (&crates[&key("a", "1.0.0")], &crates[&key("b", "1.0.0")]);
        assert_eq!(b.licence.as_deref(), Some("MIT OR ISC"));
        assert!(a.is_ours && a.checksum.is_none() && !b.is_ours);
        assert_eq!(a.uses, BTreeSet::from([key("b", "1.0.0")]));
        assert_eq!((b.checksum.as_deref(), b.folder.to_str()), (Some("00ff"), Some("/crates/b")));
        let missing = describe(&metadata, &BTreeSet::from([key("c", "1.0.0")]), &BTreeMap::new());
        assert!(missing.unwrap_err().to_string().contains("\"c\""));
    }
}
