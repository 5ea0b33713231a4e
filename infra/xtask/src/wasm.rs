//! How components are compiled: with rustup's wasm target, or with Debian's compiler where that cannot be downloaded.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{
    debian::Debian,
    machine::{Environment, Machine, capture, is_installed},
};

/// The target that components are built for.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// A way to build components.
pub(crate) enum Wasm {
    /// The toolchain that builds everything else has the target.
    Rustup,
    /// Debian's packages, unpacked under the target folder.
    Debian(Debian),
}

/// Finds the way that is there, if one is; changes nothing.
pub(crate) fn find(machine: &Machine) -> Option<Wasm> {
    if machine.wasm_route.as_deref() != Some("debian") && has_target(machine) {
        return Some(Wasm::Rustup);
    }
    Debian::find(machine).map(Wasm::Debian)
}

/// Finds a way, or makes one.
pub(crate) fn prepare(machine: &Machine) -> Result<(Wasm, String)> {
    match machine.wasm_route.as_deref() {
        None | Some("rustup") => (),
        Some("debian") => return debian(machine),
        Some(other) => bail!("TIDEMILL_WASM_ROUTE is `{other}`; it is `rustup`, `debian` or not set"),
    }
    if has_target(machine) {
        return Ok((Wasm::Rustup, "there".into()));
    }
    let refused = match capture(machine.command("rustup").args(["target", "add", TARGET])) {
        Ok(_) if has_target(machine) => return Ok((Wasm::Rustup, "added by rustup".into())),
        Ok(_) => anyhow::anyhow!("rustup added the target to another toolchain than the `rustc` that is called here"),
        Err(error) => error,
    };
    debian(machine).with_context(|| {
        format!(
            "components cannot be compiled here.\nThe first way, `rustup target add {TARGET}`: {refused:#}\n\
             The second way, Debian's packages, follows"
        )
    })
}

fn debian(machine: &Machine) -> Result<(Wasm, String)> {
    if !is_installed("apt-get") || !is_installed("dpkg") {
        bail!(
            "there is no `apt-get` here to fetch Debian's compiler with\n\
             hint: get the target on a machine with a network (`rustup target add {TARGET}`) and copy `lib/rustlib/{TARGET}` \
             from its toolchain (`rustc --print sysroot`) into this one's"
        );
    }
    let debian = Debian::prepare(machine)?;
    let said = debian.version()?;
    Ok((Wasm::Debian(debian), format!("Debian's {said}, standard library built from source")))
}

fn has_target(machine: &Machine) -> bool {
    let libraries = capture(machine.command("rustc").args(["--print", "target-libdir", "--target", TARGET]));
    libraries.is_ok_and(|folder| std::fs::read_dir(folder.trim()).is_ok_and(|mut files| files.next().is_some()))
}

impl Wasm {
    /// A cargo that can build for the target.
    pub(crate) fn cargo(&self, machine: &Machine) -> Result<Command> {
        match self {
            Self::Rustup => {
                let mut command = machine.cargo(&Environment::default());
                // Separated in cargo's way, for folders with spaces in their names. All other flags give way: they would change digests.
                command.env("CARGO_ENCODED_RUSTFLAGS", machine.remapped_paths().join("\u{1f}"));
                command.args(["build", "--target", TARGET]);
                Ok(command)
            }
            Self::Debian(debian) => debian.cargo(machine),
        }
    }

    /// The folder, under the target folder, that this compiler builds in: two compilers in one would rebuild each other's work.
    pub(crate) fn folder(&self) -> &'static str {
        match self {
            Self::Rustup => "",
            Self::Debian(_) => "debian-build",
        }
    }
}
