//! `cargo xtask demo --target lambda`: the functions' programs, and the emulators, which come from PyPI into a virtual environment.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use crate::{
    build,
    guests::Selection,
    machine::{Machine, Profile, run_to_exit_code},
    step::step,
    tools, venv,
};

/// moto emulates S3, SQS and EventBridge; cargo-lambda emulates Lambda's runtime interface.
const PACKAGES: [&str; 2] = ["moto[server]==5.2.5", "cargo-lambda==1.9.2"];

/// The programs that are deployed.
pub(crate) const FUNCTIONS: [&str; 3] = ["tidemill-lambda", "tidemill-component", "tidemill-predict"];

/// Runs the demo; the arguments are its own.
pub(crate) fn demo(machine: &Machine, arguments: &[String]) -> Result<ExitCode> {
    let (mut environment, wasm) = tools::prepare(machine, &[])?;
    let names: Vec<&str> = ["tidemill", "tidemill-demo-lambda"].into_iter().chain(FUNCTIONS).collect();
    let mut cargo = build::cargo(machine, &environment, Profile::Dev, &names);
    let components = (&Selection::Stages, Profile::Dev);
    build::all(machine, &mut environment, &wasm, components, (&names.join(", "), &mut cargo))?;
    let emulators = emulators(machine)?;
    let programs = machine.programs(Profile::Dev);
    let mut command = machine.command(programs.join("tidemill-demo-lambda"));
    environment.apply(&mut command);
    // The machine's own AWS settings must not be used.
    for name in [
        "TIDEMILL_STORE",
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ALLOW_HTTP",
    ] {
        command.env_remove(name);
    }
    command
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", free_port()?))
        .env("AWS_REGION", "eu-west-2")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .arg("--functions")
        .arg(programs)
        .arg("--moto")
        .arg(emulators.join("moto_server"))
        .arg("--cargo-lambda")
        .arg(emulators.join("cargo-lambda"));
    if !arguments.iter().any(|a| a == "--dir" || a.starts_with("--dir=")) {
        command.arg("--dir").arg(machine.target.join("demo-lambda"));
    }
    run_to_exit_code(command.args(arguments))
}

/// The folder with the emulators' programs.
pub(crate) fn emulators(machine: &Machine) -> Result<PathBuf> {
    step("emulators", || venv::packages(machine, "emulators-venv", &PACKAGES))
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
