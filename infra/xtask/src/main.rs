//! `cargo xtask`: prepares a machine, then runs the demo, the tests or the benchmarks with what it prepared.
//!
//! It depends on almost nothing, because it must build where DuckDB's library and the wasm target are still missing.

mod apt;
mod bench;
mod build;
mod checks;
mod component;
mod debian;
mod demo;
mod duckdb;
mod guests;
mod lambda;
mod languages;
mod machine;
mod npm;
mod package;
mod step;
mod test;
mod tools;
mod venv;
mod wasm;
mod wheel;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

const HELP: &str = "\
cargo xtask <command>

  setup                 prepare this machine: wasm target, DuckDB, ONNX Runtime, SeaweedFS, wasmtime, components
  demo [--json] [...]   a year of real flights through the whole loop; other arguments go to the demo
                        (`--target s3`: over a real S3 server, undisturbed and disturbed;
                        `--target lambda`: the first months through the functions of AWS Lambda too, on emulators)
  test [...]            format, lints, components, all tests; arguments go to the test runner
  bench [name] [...]    measure: all, or one of the names that `cargo xtask bench --list` prints
  package [...]         make what is installed: wheels, archives, checksums, SBOM, licences (docs/package.md)
  image [...]           make OCI images of Tidemill and of its components, without Docker (docs/image.md)
  sdk <folder>          write the crates that a Rust stage outside the checkout depends on
  guests [name ...]     build the components alone, or some of them
  component <folder>    build a Rust stage of your own, a crate elsewhere, as a component
  doctor                say what is there and what is missing; change nothing
  env                   build `tidemill` and print the environment, for a shell to `eval`
  run <command> [...]   run a command with the prepared environment";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let machine = machine::Machine::new()?;
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    match command {
        "setup" => demo::setup(&machine),
        "demo" => demo::run(&machine, rest),
        "test" => test::run(&machine, rest),
        "bench" => bench::run(&machine, rest),
        "package" => package::run(&machine, rest),
        "image" => package::image::run(&machine, rest),
        "sdk" => {
            let folder = rest.first().context("name the folder of the SDK: `cargo xtask sdk ../sdk`")?;
            package::sdk::command(&machine, &std::env::current_dir()?.join(folder))
        }
        "guests" => guests::command(&machine, rest),
        "component" => {
            let folder = rest
                .first()
                .context("name the folder of the stage's crate: `cargo xtask component ../my-stage`")?;
            component::build(&machine, &std::env::current_dir()?.join(folder)).map(|()| ExitCode::SUCCESS)
        }
        "doctor" => tools::doctor(&machine),
        "env" => demo::shell(&machine),
        "run" => demo::any(&machine, rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("`{other}` is no command of xtask\n\n{HELP}"),
    }
}
