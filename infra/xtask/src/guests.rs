//! The components: nine stages, what Spin and imported models need beside them, and the guests of the tests.
//!
//! A component's file in the folder is replaced only where its bytes changed: its digest is part of every run key. For the same reason
//! the stages are compiled apart from what Spin needs: features of other crates must not change their bytes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    build,
    machine::{Environment, Machine, Profile},
    step::step,
    wasm::{self, TARGET, Wasm},
};

/// The components to build.
pub(crate) enum Selection {
    /// The nine stages.
    Stages,
    /// The stages, and what Spin and imported models need.
    Shipped,
    /// Those, and the guests of the tests.
    All,
    /// Those of these names.
    Named(Vec<String>),
}

/// A component that was built.
struct Guest {
    name: String,
    bytes: u64,
}

/// `cargo xtask guests [name …]`.
pub(crate) fn command(machine: &Machine, names: &[String]) -> Result<ExitCode> {
    let wasm = step("wasm target", || wasm::prepare(machine))?;
    let selection = match names {
        [] => Selection::All,
        names => Selection::Named(names.to_vec()),
    };
    build::components(machine, &mut Environment::default(), &wasm, &selection)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the components and places them as `<target>/components/tidemill_<name>.wasm`.
pub(crate) fn build(machine: &Machine, wasm: &Wasm, selection: &Selection, profile: Profile) -> Result<(PathBuf, String)> {
    let groups = selection.groups(machine)?;
    let target = machine.target.join(wasm.folder());
    let folder = machine.folder("components")?;
    let mut built = Vec::new();
    for group in &groups {
        // What answers requests has another profile, and only where it is measured.
        let (served, others): (Vec<&String>, Vec<&String>) = group.iter().partition(|name| profile_of(name, profile) == SERVED);
        for (profile, names) in [(GUEST, others), (SERVED, served)] {
            if !names.is_empty() {
                compile(machine, wasm, &target, profile, &names)?;
                let made = target.join(TARGET).join(profile);
                let placed = names.iter().map(|name| place(&made, &folder, name));
                built.extend(placed.collect::<Result<Vec<_>>>()?);
            }
        }
    }
    let sizes: Vec<String> = built.iter().map(|guest| format!("{} {}", guest.name, size(guest.bytes))).collect();
    Ok((folder, sizes.join(", ")))
}

impl Selection {
    /// The packages, by cargo call.
    fn groups(&self, machine: &Machine) -> Result<Vec<Vec<String>>> {
        let stages = crates_in(&machine.root.join("functions"))?;
        let mut others = crates_in(&machine.root.join("infra/spin"))?;
        // Its store blocks, and a feature of one package counts for all packages of a call.
        let blocking: Vec<String> = others.extract_if(.., |package| package == "tidemill-spin-run").collect();
        // They ask for no feature that the stages don't ask for, and alone they would compile all that they share once more.
        let with_guests = |mut stages: Vec<String>| {
            stages.extend(crates_in(&machine.root.join("tests/guests"))?);
            anyhow::Ok(stages)
        };
        Ok(match self {
            Self::Stages => vec![stages],
            Self::Shipped => vec![stages, others, blocking],
            Self::All => vec![with_guests(stages)?, others, blocking],
            Self::Named(names) => {
                let mut groups = vec![with_guests(stages)?, others, blocking];
                let known: Vec<&str> = groups.iter().flatten().map(|package| short_name(package)).collect();
                if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
                    bail!("no component is called `{unknown}`; there are {}", known.join(", "));
                }
                groups
                    .iter_mut()
                    .for_each(|group| group.retain(|package| names.iter().any(|name| short_name(package) == name)));
                groups
            }
        })
    }
}

/// The profile of components: see `Cargo.toml`.
const GUEST: &str = "guest";
/// The profile of `predict` and the ONNX engine in a release.
const SERVED: &str = "served";

fn profile_of(package: &str, profile: Profile) -> &'static str {
    match profile {
        Profile::Release if ["tidemill-predict", "tidemill-onnx"].contains(&package) => SERVED,
        _ => GUEST,
    }
}

fn compile(machine: &Machine, wasm: &Wasm, target: &Path, profile: &str, names: &[&String]) -> Result<()> {
    let mut command = wasm.cargo(machine)?;
    command
        .env("CARGO_TARGET_DIR", target)
        .args(["--profile", profile, "--lib", "--quiet"]);
    for name in names {
        command.args(["--package", name]);
    }
    let status = command.stdin(Stdio::null()).status().context("cargo cannot be started")?;
    if !status.success() {
        bail!("the components do not compile; the compiler's messages are above");
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
fn short_name(package: &str) -> &str {
    package.strip_prefix("tidemill-").unwrap_or(package)
}

fn place(made: &Path, folder: &Path, package: &str) -> Result<Guest> {
    let file = format!("{}.wasm", package.replace('-', "_"));
    let from = made.join(&file);
    let bytes = fs::read(&from).with_context(|| format!("cargo made no {}", from.display()))?;
    let name = short_name(package).to_owned();
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

fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 {
        format!("{:.1} MB", bytes as f64 / 1e6)
    } else {
        format!("{} kB", bytes / 1000)
    }
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
