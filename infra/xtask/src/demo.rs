//! The demo, and any command, in the prepared environment. What they return is what xtask returns.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{
    build,
    guests::Selection,
    lambda,
    machine::{Machine, Profile, run_to_exit_code},
    tools,
    wheel::{SEAWEEDFS, Wheel},
};

/// The folder of the demo's projects, in the target folder. Not `demo`: there, earlier versions left projects without the mark that lets the
/// demo remove them.
pub(crate) const FOLDER: &str = "tidemill-demo";

/// `cargo xtask demo`: the arguments are the demo's.
pub(crate) fn run(machine: &Machine, arguments: &[String]) -> Result<ExitCode> {
    if let Some(rest) = without_target(arguments, "lambda") {
        return lambda::demo(machine, &rest);
    }
    match without_target(arguments, "s3") {
        Some(rest) => run_program(machine, &[&SEAWEEDFS], ("tidemill-demo-s3", &[]), "demo-s3", &rest),
        None => run_program(machine, &[], ("tidemill", &["demo"]), FOLDER, arguments),
    }
}

/// The other arguments, if `--target` is this one.
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

/// Builds and runs a program with its first arguments. Its projects are in a folder of the target folder, unless the arguments name one.
fn run_program(
    machine: &Machine,
    tools: &[&Wheel],
    (program, first): (&str, &[&str]),
    folder: &str,
    arguments: &[String],
) -> Result<ExitCode> {
    let (mut environment, wasm) = tools::prepare(machine, tools)?;
    let mut names = vec!["tidemill", program];
    names.dedup();
    let mut cargo = build::cargo(machine, &environment, Profile::Dev, &names);
    let components = (&Selection::Stages, Profile::Dev);
    build::all(machine, &mut environment, &wasm, components, (&names.join(", "), &mut cargo))?;
    let mut command = machine.command(machine.programs(Profile::Dev).join(program));
    environment.apply(&mut command);
    command.args(first).args(arguments);
    if !arguments.iter().any(|a| a == "--dir" || a.starts_with("--dir=")) {
        command.arg("--dir").arg(machine.target.join(folder));
    }
    run_to_exit_code(&mut command)
}

/// `cargo xtask run <command>`.
pub(crate) fn any(machine: &Machine, arguments: &[String]) -> Result<ExitCode> {
    let (program, rest) = arguments
        .split_first()
        .context("`cargo xtask run` needs a command, such as `cargo xtask run cargo check`")?;
    let (mut environment, _) = tools::prepare_all(machine)?;
    environment.set("TIDEMILL_COMPONENTS", machine.target.join("components"));
    let mut command = machine.command(program);
    environment.apply(&mut command);
    if let Ok(here) = std::env::current_dir() {
        command.current_dir(here);
    }
    run_to_exit_code(command.args(rest))
}

/// `cargo xtask setup`: the tools and the components.
pub(crate) fn setup(machine: &Machine) -> Result<ExitCode> {
    let (mut environment, wasm) = tools::prepare_all(machine)?;
    build::components(machine, &mut environment, &wasm, &Selection::Shipped)?;
    Ok(ExitCode::SUCCESS)
}

/// `cargo xtask env`: what a shell needs to call `tidemill`. Progress goes to standard error, so that a shell can evaluate the rest.
pub(crate) fn shell(machine: &Machine) -> Result<ExitCode> {
    let (mut environment, wasm) = tools::prepare_all(machine)?;
    let mut cargo = build::cargo(machine, &environment, Profile::Dev, &["tidemill"]);
    let components = (&Selection::Shipped, Profile::Dev);
    build::all(machine, &mut environment, &wasm, components, ("tidemill", &mut cargo))?;
    let mut command = machine.command("tidemill");
    environment.apply(&mut command);
    for (name, value) in command.get_envs() {
        if let (name, Some(value)) = (name.to_string_lossy(), value) {
            println!("export {name}='{}'", value.to_string_lossy().replace('\'', r"'\''"));
        }
    }
    println!("export PATH='{}':\"$PATH\"", machine.programs(Profile::Dev).display());
    Ok(ExitCode::SUCCESS)
}
