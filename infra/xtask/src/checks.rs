//! What is checked without compiling anything: format, and the dependencies' licences, sources, bans and use.

use anyhow::{Result, bail};

use crate::{
    machine::{Environment, Machine, run_command},
    step::{note, step},
    wheel::{DENY, SHEAR, Wheel},
};

/// All of it.
pub(crate) fn run(machine: &Machine) -> Result<()> {
    step("format", || {
        run_command(machine.cargo(&Environment::default()).args(["fmt", "--all", "--check"]))?;
        Ok(((), "as rustfmt writes it".into()))
    })?;
    // Rules and exceptions are in `deny.toml`, and in the root manifest under `workspace.metadata.cargo-shear`.
    let rules = ["--log-level", "error", "check", "licenses", "bans", "sources"];
    dependencies(machine, &DENY, &rules, "licences, bans and sources are as `deny.toml` demands")?;
    dependencies(machine, &SHEAR, &[], "all dependencies are used")
}

fn dependencies(machine: &Machine, checker: &Wheel, arguments: &[&str], result: &str) -> Result<()> {
    let program = match checker.fetch(machine) {
        Ok((program, _)) => program,
        Err(error) if std::env::var_os("CI").is_some() => bail!("{} is missing: {error:#}", checker.name),
        Err(error) => {
            note(&format!("{} is missing, so dependencies are not checked: {error:#}", checker.name));
            return Ok(());
        }
    };
    step(checker.name, || {
        run_command(machine.command(program).args(arguments))?;
        Ok(((), result.into()))
    })
}
