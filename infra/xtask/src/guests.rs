//! The components: nine stages, what Spin and imported models need beside them, and the guests of the tests.
//!
//! A component's file in the folder is replaced only where its bytes changed: its digest is part of every run key. For the same reason
//! its bytes must not follow from what else is built: a feature that one package of a cargo call asks for counts for all packages of the
//! call. So the stages are compiled apart from what Spin needs, and always all nine together, whichever of them are wanted.

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

/// What one cargo call compiles.
struct Group {
    /// What is compiled whether it is wanted or not, because its features count: all stages.
    together: Vec<String>,
    /// What is placed in the folder.
    wanted: Vec<String>,
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
    let groups = selection.groups(&machine.root)?;
    let target = machine.target.join(wasm.folder());
    let folder = machine.folder("components")?;
    let mut built = Vec::new();
    for group in &groups {
        // What answers requests has another profile, and only where it is measured and shipped.
        let (served, others): (Vec<&String>, Vec<&String>) = group.wanted.iter().partition(|name| profile_of(name, profile) == SERVED);
        for (profile, names) in [(GUEST, others), (SERVED, served)] {
            if !names.is_empty() {
                let together = group.together.iter().filter(|name| profile == GUEST && !names.contains(name));
                let compiled: Vec<&String> = names.iter().copied().chain(together).collect();
                compile(machine, wasm, &target, profile, &compiled)?;
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
    fn groups(&self, root: &Path) -> Result<Vec<Group>> {
        let stages = crates_in(&root.join("functions"))?;
        // They ask for no feature that the stages don't ask for (a test compares), and alone they would compile all that they share once more.
        let with_guests = [stages.clone(), crates_in(&root.join("tests/guests"))?].concat();
        let mut others = crates_in(&root.join("infra/spin"))?;
        // Its store blocks, and a feature of one package counts for all packages of a call.
        let blocking: Vec<String> = others.extract_if(.., |package| package == "tidemill-spin-run").collect();
        let wanted = match self {
            Self::Stages => vec![stages.clone()],
            Self::Shipped => vec![stages.clone(), others, blocking],
            Self::All => vec![with_guests, others, blocking],
            Self::Named(names) => named(names, vec![with_guests, others, blocking])?,
        };
        let mut groups: Vec<Group> = wanted.into_iter().map(Group::new).collect();
        if let Some(first) = groups.first_mut() {
            first.together = stages;
        }
        Ok(groups)
    }
}

impl Group {
    fn new(wanted: Vec<String>) -> Self {
        let together = Vec::new();
        Self { together, wanted }
    }
}

/// Those of these names.
fn named(names: &[String], mut groups: Vec<Vec<String>>) -> Result<Vec<Vec<String>>> {
    let known: Vec<&str> = groups.iter().flatten().map(|package| short_name(package)).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no component is called `{unknown}`; there are {}", known.join(", "));
    }
    groups
        .iter_mut()
        .for_each(|group| group.retain(|package| names.iter().any(|name| short_name(package) == name)));
    Ok(groups)
}

/// The packages of the components that are shipped, by cargo call.
pub(crate) fn shipped(root: &Path) -> Result<Vec<Vec<String>>> {
    Ok(Selection::Shipped.groups(root)?.into_iter().map(|group| group.wanted).collect())
}

/// The component's file of a package.
pub(crate) fn file_name(package: &str) -> String {
    format!("{}.wasm", package.replace('-', "_"))
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
pub(crate) fn short_name(package: &str) -> &str {
    package.strip_prefix("tidemill-").unwrap_or(package)
}

fn place(made: &Path, folder: &Path, package: &str) -> Result<Guest> {
    let file = file_name(package);
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
    use std::collections::BTreeSet;

    use super::*;

    /// Each crate and its features, as one cargo call would compile them.
    fn features(machine: &Machine, packages: &[String]) -> BTreeSet<String> {
        let mut cargo = machine.cargo(&Environment::default());
        cargo.args([
            "tree",
            "--target",
            TARGET,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p} {f}",
        ]);
        packages.iter().for_each(|package| _ = cargo.args(["--package", package]));
        let tree = crate::machine::capture(&mut cargo).unwrap();
        tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
    }

    #[test]
    fn guests_of_tests_change_no_stage() {
        let machine = Machine::new().unwrap();
        let stages = features(&machine, &Selection::Stages.groups(&machine.root).unwrap()[0].wanted);
        let mut all = features(&machine, &Selection::All.groups(&machine.root).unwrap()[0].wanted);
        all.retain(|line| !line.starts_with("tidemill-guest-"));
        let changed: Vec<&String> = all.symmetric_difference(&stages).collect();
        assert!(
            changed.is_empty(),
            "with the guests of the tests, the stages are compiled otherwise: {changed:#?}"
        );
    }

    #[test]
    fn all_stages_are_compiled_whichever_are_wanted() {
        let root = Machine::new().unwrap().root;
        for names in ["train", "predict"] {
            let groups = Selection::Named(vec![names.into()]).groups(&root).unwrap();
            assert_eq!(groups[0].wanted, [format!("tidemill-{names}")]);
            assert_eq!(groups[0].together.len(), 9);
            assert!(groups[1..].iter().all(|group| group.wanted.is_empty()));
        }
        let unknown = Selection::Named(vec!["tide".into()]).groups(&root).err().unwrap().to_string();
        assert!(unknown.contains("`tide`") && unknown.contains("train"), "{unknown}");
    }

    #[test]
    fn a_package_is_named() {
        assert_eq!(
            package_name("[package]\nname = \"tidemill-train\"\n").as_deref(),
            Some("tidemill-train")
        );
        assert_eq!(package_name("[workspace]\n"), None);
    }
}
