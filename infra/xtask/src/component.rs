//! `cargo xtask component <folder>`: a Rust stage of your own as a component, in the way that this machine has, also where rustup's target
//! cannot be downloaded.
//!
//! It is built under the target folder with the settings and versions of our own components, so that what both depend on is compiled once.

use std::{fs, path::Path, process::Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{
    guests::package_name,
    machine::Machine,
    step::step,
    wasm::{self, TARGET},
};

/// `[profile.guest]` of the workspace, which a crate outside it does not see.
const PROFILE: [&str; 3] = [
    "profile.guest.inherits=\"release\"",
    "profile.guest.opt-level=3",
    "profile.guest.strip=\"debuginfo\"",
];

/// Builds the crate in this folder and places its component where `cargo build --release` would.
pub(crate) fn build(machine: &Machine, folder: &Path) -> Result<()> {
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| format!("`{}` is no crate", folder.display()))?;
    let name = package_name(&text).with_context(|| format!("{} has no package name", manifest.display()))?;
    let lock = folder.join("Cargo.lock");
    if !lock.exists() {
        // What is in it beside this crate's own is dropped by cargo.
        fs::copy(machine.root.join("Cargo.lock"), &lock)?;
    }
    let wasm = step("wasm target", || wasm::prepare(machine))?;
    let target = machine.target.join(wasm.folder());
    let file = format!("{}.wasm", name.replace('-', "_"));
    step(&name, || {
        let mut command = wasm.cargo(machine)?;
        command.current_dir(folder).env("CARGO_TARGET_DIR", &target);
        command.args(["--profile", "guest", "--lib", "--quiet"]);
        PROFILE.iter().for_each(|setting| _ = command.args(["--config", setting]));
        let status = command.stdin(Stdio::null()).status().context("cargo cannot be started")?;
        if !status.success() {
            bail!("`{name}` does not compile; the compiler said why above");
        }
        let to = folder.join("target").join(TARGET).join("release");
        fs::create_dir_all(&to)?;
        let made = target.join(TARGET).join("guest").join(&file);
        fs::copy(&made, to.join(&file)).with_context(|| format!("cargo made no {}; is its `crate-type` `cdylib`?", made.display()))?;
        Ok(((), to.join(&file).display().to_string()))
    })
}
