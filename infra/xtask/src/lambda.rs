//! `cargo xtask demo --target lambda`: the functions' programs and the emulators, which come from PyPI into a virtual environment.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use crate::{
    demo::{programs, run_to_exit_code},
    machine::{Environment, Machine, run_command},
    setup,
    step::{note, step},
    venv,
};

/// moto plays S3, SQS and EventBridge; cargo-lambda plays Lambda's runtime interface.
const PACKAGES: [&str; 2] = ["moto[server]==5.2.5", "cargo-lambda==1.9.2"];

/// The programs that are deployed, as cargo names them.
const FUNCTIONS: [&str; 3] = ["tidemill-lambda", "tidemill-component", "tidemill-predict"];

/// Runs the demo; the arguments are its own.
pub(crate) fn demo(machine: &Machine, arguments: &[String]) -> Result<ExitCode> {
    let mut environment = setup::all(machine)?;
    programs(machine, &mut environment)?;
    functions(machine, &environment)?;
    let tools = emulators(machine)?;
    let debug = machine.target.join("debug");
    let mut command = machine.command(debug.join("tidemill-demo-lambda"));
    environment.apply(&mut command);
    // Of the machine's own AWS settings none may be meant.
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
        .arg(debug)
        .arg("--moto")
        .arg(tools.join("moto_server"))
        .arg("--cargo-lambda")
        .arg(tools.join("cargo-lambda"));
    if !arguments.iter().any(|a| a == "--dir" || a.starts_with("--dir=")) {
        command.arg("--dir").arg(machine.target.join("demo-lambda"));
    }
    run_to_exit_code(command.args(arguments))
}

/// Builds what is deployed.
pub(crate) fn functions(machine: &Machine, environment: &Environment) -> Result<()> {
    note("building the functions");
    step("functions", || {
        let mut command = machine.cargo(environment);
        command.args(["build", "--quiet", "--workspace", "--bin", "tidemill-demo-lambda"]);
        for name in FUNCTIONS {
            command.args(["--bin", name]);
        }
        run_command(&mut command)?;
        Ok(((), FUNCTIONS.join(", ")))
    })
}

/// The folder with the emulators' programs.
pub(crate) fn emulators(machine: &Machine) -> Result<PathBuf> {
    step("emulators", || venv::packages(machine, "emulators-venv", &PACKAGES))
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
