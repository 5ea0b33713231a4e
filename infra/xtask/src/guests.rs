//! The components: nine stages, what Spin needs beside them, and the guests of the tests, most of them built together so that what they
//! share is compiled once.
//!
//! A component's file in the folder is replaced only where its bytes changed: its digest is part of every run key.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    machine::Machine,
    wasm::{TARGET, Wasm},
};

/// A component that was built.
pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// Builds the components of these names (all, if there are none) and places them as `<target>/components/tidemill_<name>.wasm`.
pub(crate) fn build(machine: &Machine, wasm: &Wasm, only: &[String]) -> Result<(PathBuf, Vec<Guest>)> {
    let mut crates = crates_in(&machine.root.join("functions"))?;
    crates.extend(crates_in(&machine.root.join("tests/guests"))?);
    crates.extend(crates_in(&machine.root.join("infra/spin"))?);
    if let Some(unknown) = only.iter().find(|name| crates.iter().all(|c| short(c) != name.as_str())) {
        let known: Vec<&str> = crates.iter().map(|c| short(c)).collect();
        bail!("there is no component `{unknown}`: there is {}", known.join(", "));
    }
    crates.retain(|c| only.is_empty() || only.iter().any(|name| short(c) == name));
    let target = machine.target.join(wasm.folder());
    // `evaluate` alone scores inside: in one call with the others cargo would give all of them the ONNX engine (15 MB each). What
    // Spin needs shares crates with the stages, whose bytes must not depend on its features. And `predict` has a profile of its own.
    let (alone, others): (Vec<String>, Vec<String>) = crates
        .iter()
        .cloned()
        .partition(|name| name == "tidemill-evaluate" || name.starts_with("tidemill-spin-") || profile(name) != GUEST);
    if !others.is_empty() {
        compile(machine, wasm, &target, GUEST, &others)?;
    }
    for name in alone {
        compile(machine, wasm, &target, profile(&name), &[name])?;
    }
    let folder = machine.folder("components")?;
    let made = target.join(TARGET);
    let guests = crates.iter().map(|name| place(&made.join(profile(name)), &folder, name));
    let guests: Vec<Guest> = guests.collect::<Result<_>>()?;
    Ok((folder, guests))
}

/// The profile of components: see `Cargo.toml`.
const GUEST: &str = "guest";

fn profile(package: &str) -> &'static str {
    if package == "tidemill-predict" { "served" } else { GUEST }
}

fn compile(machine: &Machine, wasm: &Wasm, target: &Path, profile: &str, names: &[String]) -> Result<()> {
    let mut command = wasm.cargo(machine)?;
    command
        .env("CARGO_TARGET_DIR", target)
        .args(["--profile", profile, "--lib", "--quiet"]);
    for name in names {
        command.args(["--package", name]);
    }
    let status = command.stdin(Stdio::null()).status().context("cargo cannot be started")?;
    if !status.success() {
        bail!("the components do not compile; the compiler said why above");
    }
    Ok(())
}

/// The packages in the folders below `folder`, by name. A folder that is a workspace of its own does not belong to ours.
fn crates_in(folder: &Path) -> Result<Vec<String>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in entries {
        let manifest = entry?.path().join("Cargo.toml");
        if manifest.is_file() {
            let text = fs::read_to_string(&manifest)?;
            let name = package_name(&text).with_context(|| format!("{} has no package name", manifest.display()))?;
            if text.contains("cdylib") && !text.lines().any(|line| line.trim() == "[workspace]") {
                found.push(name);
            }
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn package_name(manifest: &str) -> Option<String> {
    let line = manifest.lines().find(|line| line.starts_with("name"))?;
    Some(line.split('"').nth(1)?.to_owned())
}

/// `train` of `tidemill-train`: what `tidemill.toml` calls `tidemill:train`.
fn short(package: &str) -> &str {
    package.strip_prefix("tidemill-").unwrap_or(package)
}

fn place(made: &Path, folder: &Path, package: &str) -> Result<Guest> {
    let file = format!("{}.wasm", package.replace('-', "_"));
    let from = made.join(&file);
    let bytes = fs::read(&from).with_context(|| format!("cargo made no {}", from.display()))?;
    let name = short(package).to_owned();
    let to = folder.join(&file);
    if fs::read(&to).ok().as_deref() != Some(&bytes) {
        let fresh = folder.join(format!(".{file}.new"));
        fs::write(&fresh, &bytes)?;
        fs::rename(&fresh, &to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(Guest {
        name,
        bytes: bytes.len() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named() {
        assert_eq!(
            package_name("[package]\nname = \"tidemill-train\"\n").as_deref(),
            Some("tidemill-train")
        );
        assert_eq!(package_name("[workspace]\n"), None);
    }
}
