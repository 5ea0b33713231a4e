//! Compiles what a command needs and nothing else: components for WebAssembly and programs for this machine, both at the same time.
//!
//! Each of the two ends with crates that wait for each other; together they keep all cores busy. They don't wait for each other's locks,
//! because their profiles have folders of their own.

use std::{process::Command, thread};

use anyhow::{Result, anyhow};

use crate::{
    guests::{self, Selection},
    machine::{Environment, Machine, Profile, run_command},
    step::{note, step},
    wasm::Wasm,
};

/// Builds the components alone.
pub(crate) fn components(machine: &Machine, environment: &mut Environment, wasm: &Wasm, selection: &Selection) -> Result<()> {
    note("compiling the components; the first time takes minutes");
    let folder = step("components", || guests::build(machine, wasm, selection, Profile::Dev))?;
    environment.set("TIDEMILL_COMPONENTS", folder);
    Ok(())
}

/// Builds components and programs. `cargo` is the command that builds the programs, `names` describes them.
pub(crate) fn all(
    machine: &Machine,
    environment: &mut Environment,
    wasm: &Wasm,
    (selection, profile): (&Selection, Profile),
    (names, cargo): (&str, &mut Command),
) -> Result<()> {
    note("compiling components and programs; the first time takes minutes");
    let (components, programs) = thread::scope(|scope| {
        let components = scope.spawn(|| step("components", || guests::build(machine, wasm, selection, profile)));
        let programs = step("programs", || Ok((run_command(cargo)?, names.to_owned())));
        (components.join(), programs)
    });
    programs?;
    let folder = components.map_err(|_| anyhow!("the build of the components panicked"))??;
    environment.set("TIDEMILL_COMPONENTS", folder);
    environment.set("TIDEMILL", machine.programs(profile).join("tidemill"));
    Ok(())
}

/// Packages of programs that are shipped or measured. Neither asks for a feature that the other has not, so that what is measured is what
/// is shipped, and is compiled once.
pub(crate) const RELEASED: [&str; 5] = [
    "tidemill-cli",
    "tidemill-lambda",
    "tidemill-bench",
    "tidemill-engine",
    "tidemill-ml",
];

/// `cargo build` of these programs. For the tests and the demo the features are those of the whole workspace, so that nothing is compiled
/// twice; a release has none of the tests' failpoints.
pub(crate) fn cargo(machine: &Machine, environment: &Environment, profile: Profile, programs: &[&str]) -> Command {
    let mut command = machine.cargo(environment);
    command.args(["build", "--quiet"]);
    match profile {
        Profile::Dev => _ = command.arg("--workspace"),
        Profile::Release => {
            command.arg("--release");
            RELEASED.iter().for_each(|package| _ = command.args(["--package", package]));
        }
    }
    programs.iter().for_each(|name| _ = command.args(["--bin", name]));
    command
}
