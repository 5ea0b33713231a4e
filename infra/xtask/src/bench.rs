//! Measurements, each printed under the machine and the versions that made it. To add one, add an entry to [`BENCHES`].

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Result, bail};

use crate::{
    build, demo,
    guests::Selection,
    lambda,
    machine::{Environment, Machine, Profile, capture, run_command},
    step::step,
    tools, venv,
};

/// One measurement.
struct Bench {
    name: &'static str,
    what: &'static str,
    how: Program,
}

enum Program {
    /// A command of `tidemill-bench`.
    Command,
    /// An example, given a component's file.
    Example(&'static str, &'static str),
    /// A command of `tidemill-bench` that measures the functions of Lambda, beside a Python script with these packages.
    Lambda(&'static str, &'static [&'static str]),
    /// A Python script in `infra/bench` with these packages: its arguments are the demo's store, and this example, built.
    Python(&'static str, &'static [&'static str], &'static str),
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "start",
        what: "instance start: a component, pooled and compiled ahead of time (aim: 50 µs)",
        how: Program::Example("instance_start", "tidemill_validate.wasm"),
    },
    Bench {
        name: "events",
        what: "from an object's appearance to the start of its stage",
        how: Program::Command,
    },
    Bench {
        name: "stages",
        what: "rows a second of validate, train and monitor, as they run in `tidemill up`",
        how: Program::Command,
    },
    Bench {
        name: "growth",
        what: "one file more, its window and a training, after 100 and 10,000 files; `--large`: after 100,000 too",
        how: Program::Command,
    },
    Bench {
        name: "validate",
        what: "twenty checks on a million rows, beside one DuckDB scan by hand",
        how: Program::Command,
    },
    Bench {
        name: "serve",
        what: "one prediction over HTTP, beside the same ONNX in the process",
        how: Program::Command,
    },
    Bench {
        name: "lambda",
        what: "cold start, memory and zipped size of each Lambda function under cargo-lambda's emulator, beside Python with onnxruntime",
        how: Program::Lambda("lambda_predict.py", &["onnxruntime==1.32.0", "numpy"]),
    },
    Bench {
        name: "train",
        what: "AUC and speed of training beside scikit-learn's HistGradientBoostingClassifier, on the same rows",
        how: Program::Python("train.py", &["pandas", "pyarrow", "scikit-learn"], "train_bench"),
    },
];

/// `cargo xtask bench [name …] [--list] [--json] [--large]`.
pub(crate) fn run(machine: &Machine, arguments: &[String]) -> Result<ExitCode> {
    let (options, names): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|a| a.starts_with("--"));
    if options.iter().any(|o| *o == "--list") {
        BENCHES.iter().for_each(|bench| println!("{:8} {}", bench.name, bench.what));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(other) = options.iter().find(|o| !["--json", "--large"].contains(&o.as_str())) {
        bail!("`{other}` is no option of `cargo xtask bench`: there is --list, --json and --large");
    }
    if let Some(unknown) = names.iter().find(|name| BENCHES.iter().all(|bench| bench.name != name.as_str())) {
        let known: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        bail!("there is no measurement `{unknown}`: there is {}", known.join(", "));
    }
    let (mut environment, wasm) = tools::prepare(machine, &[])?;
    let mut cargo = build::cargo(machine, &environment, Profile::Release, &["tidemill", "tidemill-bench"]);
    cargo.args(["--example", "instance_start", "--example", "train_bench"]);
    if names.is_empty() || names.iter().any(|name| *name == "lambda") {
        lambda::FUNCTIONS.iter().for_each(|name| _ = cargo.args(["--bin", name]));
    }
    let components = (&Selection::Stages, Profile::Release);
    build::all(machine, &mut environment, &wasm, components, ("release programs", &mut cargo))?;
    let programs = machine.programs(Profile::Release);
    header(machine, &environment);
    for bench in BENCHES
        .iter()
        .filter(|bench| names.is_empty() || names.iter().any(|name| *name == bench.name))
    {
        println!("\n{}: {}", bench.name, bench.what);
        let built = |name: &str| programs.join(name);
        let mut command = match bench.how {
            Program::Command => {
                let mut command = machine.command(built("tidemill-bench"));
                command.arg(bench.name).arg("--dir").arg(machine.target.join("bench"));
                command.args(&options);
                command
            }
            Program::Lambda(script, packages) => {
                let emulators = lambda::emulators(machine)?;
                let mut command = machine.command(built("tidemill-bench"));
                command.arg(bench.name).arg("--dir").arg(machine.target.join("bench"));
                command.arg("--functions").arg(&programs);
                command.arg("--cargo-lambda").arg(emulators.join("cargo-lambda"));
                command.arg("--python").arg(python_with(machine, packages)?);
                command.arg("--script").arg(machine.root.join("infra/bench").join(script));
                command.args(&options);
                command
            }
            Program::Example(example, component) => {
                let mut command = machine.command(built("examples").join(example));
                command.arg(machine.target.join("components").join(component));
                command
            }
            Program::Python(script, packages, example) => {
                let mut command = python(machine, script, packages)?;
                command.arg(built("examples").join(example));
                command
            }
        };
        environment.apply(&mut command);
        run_command(&mut command)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A Python with packages of its own, in a virtual environment under the target folder.
fn python_with(machine: &Machine, packages: &[&str]) -> Result<PathBuf> {
    let programs = step("Python packages", || venv::packages(machine, "bench-venv", packages))?;
    Ok(programs.join("python"))
}

/// A script over the demo's store.
fn python(machine: &Machine, script: &str, packages: &[&str]) -> Result<Command> {
    let mut command = machine.command(python_with(machine, packages)?);
    command
        .arg(machine.root.join("infra/bench").join(script))
        .arg(machine.target.join(demo::FOLDER).join("flights/.tidemill/store"));
    Ok(command)
}

/// What a number is worth without: the machine, and the versions.
fn header(machine: &Machine, environment: &Environment) {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(':'));
        line.map_or("unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "machine:  {}, {cores} cores, {} memory",
        value(&file("/proc/cpuinfo"), "model name"),
        value(&file("/proc/meminfo"), "MemTotal")
    );
    let output = |command: &mut Command| capture(command).map_or("unknown".to_owned(), |text| text.trim().to_owned());
    println!("compiler: {}", output(machine.command("rustc").arg("--version")));
    println!(
        "commit:   {}",
        output(machine.command("git").args(["describe", "--always", "--dirty"]))
    );
    let lock = file(&machine.root.join("Cargo.lock").display().to_string());
    let versions: Vec<String> = ["wasmtime", "duckdb", "tract-onnx", "ort"]
        .iter()
        .map(|name| format!("{name} {}", locked_version(&lock, name)))
        .collect();
    println!("crates:   {}", versions.join(", "));
    let mut tidemill = machine.command(machine.programs(Profile::Release).join("tidemill"));
    environment.apply(&mut tidemill);
    println!("tidemill: {}", output(tidemill.arg("--version")));
}

fn locked_version<'a>(lock: &'a str, name: &str) -> &'a str {
    let marker = format!("name = \"{name}\"\nversion = \"");
    lock.split_once(&marker)
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"ort-sys\"\nversion = \"1\"\n\n[[package]]\nname = \"ort\"\nversion = \"2.0.0-rc.15\"\n";
        assert_eq!(locked_version(lock, "ort"), "2.0.0-rc.15");
        assert_eq!(locked_version(lock, "none"), "unknown");
    }
}
