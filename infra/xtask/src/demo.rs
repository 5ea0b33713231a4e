//! The demo, and any command, in the prepared environment. What they return is what xtask returns.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::{
    lambda,
    machine::{Environment, Machine, run_command},
    setup,
    step::{note, step},
};

/// `cargo xtask demo`: the arguments are the demo's.
pub(crate) fn run(machine: &Machine, arguments: &[String]) -> Result<ExitCode> {
    match without_target(arguments, "lambda") {
        Some(rest) => lambda::demo(machine, &rest),
        None => one_process(machine, arguments),
    }
}

/// The other arguments, if `--target` is this one: it has a program of its own.
fn without_target(arguments: &[String], target: &str) -> Option<Vec<String>> {
    let mut rest = arguments.to_vec();
    if let Some(at) = arguments.iter().position(|a| *a == format!("--target={target}")) {
        rest.remove(at);
        return Some(rest);
    }
    let at = arguments.windows(2).position(|pair| pair[0] == "--target" && pair[1] == target)?;
    rest.drain(at..at + 2);
    Some(rest)
}

fn one_process(machine: &Machine, arguments: &[String]) -> Result<ExitCode> {
    let mut environment = setup::all(machine)?;
    programs(machine, &mut environment)?;
    let mut command = machine.command(machine.target.join("debug/tidemill-demo"));
    environment.apply(&mut command);
    run_to_exit_code(command.args(arguments).args(folder_of(machine, arguments)))
}

/// `cargo xtask run <command>`.
pub(crate) fn any(machine: &Machine, arguments: &[String]) -> Result<ExitCode> {
    let (program, rest) = arguments
        .split_first()
        .context("`cargo xtask run` needs a command, such as `cargo xtask run cargo check`")?;
    let (mut environment, _) = setup::tools(machine)?;
    environment.set("TIDEMILL_COMPONENTS", machine.target.join("components"));
    let mut command = machine.command(program);
    environment.apply(&mut command);
    if let Ok(here) = std::env::current_dir() {
        command.current_dir(here);
    }
    run_to_exit_code(command.args(rest))
}

/// `cargo xtask env`: what a shell needs to call `tidemill`. Progress goes to standard error, so that a shell can take the rest.
pub(crate) fn shell(machine: &Machine) -> Result<ExitCode> {
    let mut environment = setup::all(machine)?;
    programs(machine, &mut environment)?;
    let mut command = machine.command("tidemill");
    environment.apply(&mut command);
    for (name, value) in command.get_envs() {
        if let (name, Some(value)) = (name.to_string_lossy(), value) {
            println!("export {name}='{}'", value.to_string_lossy().replace('\'', r"'\''"));
        }
    }
    println!("export PATH='{}':\"$PATH\"", machine.target.join("debug").display());
    Ok(ExitCode::SUCCESS)
}

/// Builds `tidemill` and the demo.
pub(crate) fn programs(machine: &Machine, environment: &mut Environment) -> Result<()> {
    note("building `tidemill`; the first time takes minutes");
    step("programs", || {
        run_command(
            machine
                .cargo(environment)
                // The whole workspace's features, as the tests have them: nothing is compiled twice.
                .args(["build", "--quiet", "--workspace", "--bin", "tidemill", "--bin", "tidemill-demo"]),
        )?;
        Ok(((), "tidemill, tidemill-demo".into()))
    })?;
    environment.set("TIDEMILL", machine.target.join("debug/tidemill"));
    Ok(())
}

/// The demo's projects go under the target folder, wherever that is.
fn folder_of(machine: &Machine, arguments: &[String]) -> Vec<String> {
    if arguments.iter().any(|a| a == "--dir" || a.starts_with("--dir=")) {
        return Vec::new();
    }
    vec!["--dir".into(), machine.target.join("demo").display().to_string()]
}

/// Runs the command; its code is ours.
pub(crate) fn run_to_exit_code(command: &mut Command) -> Result<ExitCode> {
    let status = command
        .status()
        .with_context(|| format!("`{}` cannot be started", command.get_program().to_string_lossy()))?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}
