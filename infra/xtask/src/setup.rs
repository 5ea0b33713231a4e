//! All that a command needs, in order: each step says how it went, and a second time it is there already.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use crate::{
    duckdb, guests,
    machine::{Environment, Machine, is_installed},
    onnx, seaweedfs,
    step::{note, step},
    wasm::{self, Wasm},
    wasmtime,
};

/// Libraries and the wasm target; what they make of the environment.
pub(crate) fn tools(machine: &Machine) -> Result<(Environment, Wasm)> {
    let mut environment = Environment::default();
    let wasm = step("wasm target", || wasm::prepare(machine))?;
    let duckdb = step("DuckDB's library", || duckdb::prepare(machine))?;
    // The ONNX engine makes and drops errors in the normal course of a prediction; with `RUST_BACKTRACE=1` each would record a backtrace.
    environment.set("RUST_LIB_BACKTRACE", "0");
    environment.set("DUCKDB_LIB_DIR", duckdb);
    let mut optional = |name: &str, variable: &'static str, without: &str, prepare: fn(&Machine, bool) -> (Option<PathBuf>, String)| {
        let found = step(name, || {
            let (found, said) = prepare(machine, true);
            let without = if found.is_some() {
                String::new()
            } else {
                format!("not there, {without}: ")
            };
            Ok((found, format!("{without}{said}")))
        })?;
        if let Some(found) = found {
            environment.set(variable, found);
        }
        Result::<()>::Ok(())
    };
    optional("ONNX Runtime's library", "ORT_DYLIB_PATH", "models run on tract", onnx::prepare)?;
    optional(
        "SeaweedFS",
        "TIDEMILL_WEED",
        "what needs an S3 server is left out",
        seaweedfs::prepare,
    )?;
    optional(
        "wasmtime's command",
        "TIDEMILL_WASMTIME",
        "no second host runs the components",
        wasmtime::prepare,
    )?;
    Ok((environment, wasm))
}

/// The components.
pub(crate) fn guests_with(machine: &Machine, environment: &mut Environment, wasm: &Wasm, only: &[String]) -> Result<()> {
    note("building the components; the first time takes minutes");
    let folder = step("components", || {
        let (folder, guests) = guests::build(machine, wasm, only)?;
        let sizes: Vec<String> = guests.iter().map(|g| format!("{} {}", g.name, size(g.bytes))).collect();
        Ok((folder, sizes.join(", ")))
    })?;
    environment.set("TIDEMILL_COMPONENTS", folder);
    Ok(())
}

/// Everything.
pub(crate) fn all(machine: &Machine) -> Result<Environment> {
    let (mut environment, wasm) = tools(machine)?;
    guests_with(machine, &mut environment, &wasm, &[])?;
    Ok(environment)
}

/// The components alone, or some of them.
pub(crate) fn guests(machine: &Machine, only: &[String]) -> Result<()> {
    let wasm = step("wasm target", || wasm::prepare(machine))?;
    guests_with(machine, &mut Environment::default(), &wasm, only)
}

/// Says what is there and what is missing. Fails if something is missing that is needed.
pub(crate) fn doctor(machine: &Machine) -> Result<ExitCode> {
    let mut missing = false;
    let mut needed = |what: &str, found: Option<String>, otherwise: &str| {
        missing |= found.is_none();
        match found {
            Some(found) => println!("✓ {what}: {found}"),
            None => println!("✗ {what}: {otherwise}"),
        }
    };
    let wasm = wasm::find(machine).map(|wasm| match wasm {
        Wasm::Rustup => "rustup's target".to_owned(),
        Wasm::Debian(_) => "Debian's compiler".to_owned(),
    });
    needed(
        "wasm target",
        wasm,
        "not there; `cargo xtask setup` adds it, or `rustup target add wasm32-wasip2`",
    );
    let duckdb = duckdb::find(machine)?.map(|folder| folder.display().to_string());
    let npm = if is_installed("npm") {
        "not there; `cargo xtask setup` gets it from npm"
    } else {
        "not there, and no `npm` to get it with"
    };
    needed("DuckDB's library", duckdb, npm);
    let components = machine.target.join("components");
    let built = std::fs::read_dir(&components).map(|files| {
        files
            .flatten()
            .filter(|f| f.path().extension().is_some_and(|e| e == "wasm"))
            .count()
    });
    let built = built
        .ok()
        .filter(|count| *count >= 9)
        .map(|count| format!("{count} in {}", components.display()));
    needed("components", built, "not built; `cargo xtask guests` builds them");
    match onnx::prepare(machine, false) {
        (Some(library), _) => println!("✓ ONNX Runtime's library: {}", library.display()),
        (None, why) => println!("· ONNX Runtime's library (optional): {why}"),
    }
    match seaweedfs::prepare(machine, false) {
        (Some(program), _) => println!("✓ SeaweedFS: {}", program.display()),
        (None, why) => println!("· SeaweedFS (optional, for tests over S3): {why}"),
    }
    match wasmtime::prepare(machine, false) {
        (Some(program), _) => println!("✓ wasmtime's command: {}", program.display()),
        (None, why) => println!("· wasmtime's command (optional, a second host for the components): {why}"),
    }
    let runner = if is_installed("cargo-nextest") {
        "cargo nextest"
    } else {
        "cargo test (`cargo install cargo-nextest` is faster)"
    };
    println!("· test runner: {runner}");
    Ok(if missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 {
        format!("{:.1} MB", bytes as f64 / 1e6)
    } else {
        format!("{} kB", bytes / 1000)
    }
}
