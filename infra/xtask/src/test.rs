//! All that must hold before a change is merged. The test runner comes last, and its summary is the last thing printed.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    aws,
    demo::{programs, run_to_exit_code},
    languages,
    machine::{Machine, is_installed, run_command},
    setup,
    step::{note, step},
};

/// `cargo xtask test`: arguments go to the test runner.
pub(crate) fn run(machine: &Machine, arguments: &[String]) -> Result<ExitCode> {
    let (mut environment, wasm) = setup::tools(machine)?;
    step("format", || {
        run_command(machine.cargo(&environment).args(["fmt", "--all", "--check"]))?;
        Ok(((), "as rustfmt writes it".into()))
    })?;
    note("linting; the first time takes minutes");
    step("lints", || {
        // What is checked is not what is built: the dependencies are gone through once more, without code generation.
        let lints = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
        run_command(machine.cargo(&environment).args(lints))?;
        Ok(((), "clippy has nothing to say".into()))
    })?;
    setup::guests_with(machine, &mut environment, &wasm, &[])?;
    programs(machine, &mut environment)?;
    environment.set("TIDEMILL_AWS_LINT", step("checks of templates for AWS", || aws::prepare(machine))?);
    languages::prepare(machine, &mut environment)?;
    let mut command = machine.cargo(&environment);
    // With `CI` set, a test whose backend is missing fails instead of being left out.
    command.env("CI", "1");
    if is_installed("cargo-nextest") {
        command.args(["nextest", "run", "--workspace", "--lib", "--tests", "--no-fail-fast"]);
    } else {
        command.args(["test", "--workspace", "--no-fail-fast", "--lib", "--tests"]);
    }
    run_to_exit_code(command.args(arguments))
}
