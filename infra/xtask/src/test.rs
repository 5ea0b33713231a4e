//! All that must hold before a change is merged. The test runner comes last, and its summary is the last thing printed.

use std::{
    process::{Command, ExitCode},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow};

use crate::{
    build, checks,
    guests::Selection,
    languages,
    machine::{Environment, Machine, Profile, capture, run_command, run_to_exit_code},
    npm, package,
    step::{note, print_table, step},
    tools, venv,
    wheel::{HADOLINT, NEXTEST},
};

/// The checks of templates for AWS: the linter, and SAM's transformation. Half a minute and 230 MB; `sam` itself and `checkov` take a
/// hundred seconds each and are left to people.
const AWS_LINT: [&str; 2] = ["cfn-lint==1.58.0", "aws-sam-translator==1.115.0"];

/// The schemas of Kubernetes' API, and what validates objects by them.
const K8S_LINT: &str = "kubernetes-validate==1.37.0";
/// The types of the Prometheus Operator, which validate themselves. 30 MB.
const K8S_MODELS: &str = "@kubernetes-models/prometheus-operator@6.0.0";

/// What is compiled for the tests: each program, each test and each example of the workspace.
const TARGETS: [&str; 3] = ["--workspace", "--all-targets", "--quiet"];

/// `cargo xtask test`: arguments go to the test runner.
pub(crate) fn run(machine: &Machine, arguments: &[String]) -> Result<ExitCode> {
    let start = Instant::now();
    checks::run(machine)?;
    let (mut environment, wasm) = tools::prepare_all(machine)?;
    let runner = NEXTEST.fetch(machine);
    // Downloads and compilation wait for different things.
    let (others, built) = thread::scope(|scope| {
        let others = scope.spawn(|| tools_of_tests(machine));
        let mut cargo = linting(machine, &environment)?;
        cargo.arg("build").args(TARGETS);
        let components = (&Selection::All, Profile::Dev);
        let built = build::all(
            machine,
            &mut environment,
            &wasm,
            components,
            ("programs, tests and lints", &mut cargo),
        );
        anyhow::Ok((others.join(), built))
    })?;
    built?;
    match package::of_tests(machine) {
        Ok(folder) => environment.set("TIDEMILL_PACKAGE", folder),
        Err(error) => note(&format!("there is no package to test: {error:#}")),
    }
    match package::image::of_tests(machine) {
        Ok(folder) => environment.set("TIDEMILL_IMAGE", folder),
        Err(error) => note(&format!("there is no image to test: {error:#}")),
    }
    environment.extend(others.map_err(|_| anyhow!("fetching the tests' tools panicked"))??);
    step("doc examples", || {
        run_command(linting(machine, &environment)?.args(["test", "--quiet", "--doc", "--workspace"]))?;
        Ok(((), "they compile and run".into()))
    })?;
    let mut command = match runner {
        Ok((nextest, _)) => {
            let mut command = machine.command(nextest);
            environment.apply(&mut command);
            command.args(["nextest", "run", "--no-fail-fast"]);
            with_lints(machine, &mut command)?;
            command
        }
        Err(error) => {
            note(&format!("cargo-nextest is missing, so `cargo test` runs the tests: {error:#}"));
            let mut command = linting(machine, &environment)?;
            command.args(["test", "--no-fail-fast"]);
            command
        }
    };
    print_table(start);
    // With `CI` set, a test whose backend is missing fails instead of being left out.
    command.env("CI", "1").args(["--workspace", "--lib", "--bins", "--tests"]);
    run_to_exit_code(command.args(arguments))
}

/// Cargo with clippy as the compiler of our own crates: what is linted is what is built, so that dependencies are gone through once.
fn linting(machine: &Machine, environment: &Environment) -> Result<Command> {
    let mut command = machine.cargo(environment);
    with_lints(machine, &mut command)?;
    Ok(command)
}

fn with_lints(machine: &Machine, command: &mut Command) -> Result<()> {
    let sysroot = capture(machine.command("rustc").args(["--print", "sysroot"]))?;
    let clippy = std::path::Path::new(sysroot.trim()).join("bin/clippy-driver");
    anyhow::ensure!(
        clippy.is_file(),
        "{} is missing; `rustup component add clippy` adds it",
        clippy.display()
    );
    command.env("RUSTC_WORKSPACE_WRAPPER", clippy);
    // How `cargo clippy -- -D warnings` passes its arguments on.
    command.env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__");
    Ok(())
}

/// What the tests call beside the programs of this workspace.
fn tools_of_tests(machine: &Machine) -> Result<Environment> {
    let mut environment = Environment::default();
    let lint = step("checks of templates for AWS", || venv::packages(machine, "aws-lint", &AWS_LINT))?;
    environment.set("TIDEMILL_AWS_LINT", lint);
    tools::fetch(machine, &mut environment, &HADOLINT);
    let lint = step("schemas of Kubernetes", || venv::packages(machine, "k8s-lint", &[K8S_LINT]))?;
    environment.set("TIDEMILL_K8S_LINT", lint);
    let models = step("types of the Prometheus Operator", || {
        npm::package(machine, "k8s-models", K8S_MODELS)
    })?;
    environment.set("TIDEMILL_K8S_MODELS", models);
    languages::prepare(machine, &mut environment).context("the tools of stages in other languages")?;
    Ok(environment)
}
