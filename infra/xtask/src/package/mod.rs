//! `cargo xtask package`: all that is installed, made with one command into `<target>/package`. `docs/package.md` says what is in it.
//!
//! The same files packed twice give the same bytes: entries are sorted, and times and modes are fixed.

mod arch;
mod archive;
mod cross;
mod date;
mod elf;
pub(crate) mod image;
mod inside;
mod licences;
mod python;
mod sbom;
pub(crate) mod sdk;
mod tree;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use self::{
    arch::Arch,
    archive::Packing,
    date::Time,
    elf::Glibc,
    inside::Inside,
    tree::{Libraries, Tree},
};
use crate::{
    build, duckdb,
    guests::Selection,
    lambda,
    machine::{Environment, Machine, Profile},
    step::{note, step},
    wasm,
    wheel::ONNX_RUNTIME,
};

/// The C library of `provided.al2023`, Lambda's newest runtime: a program that needs a later one does not start there.
const LAMBDA_GLIBC: Glibc = Glibc(2, 34);

struct Options {
    arch: Arch,
    profile: Profile,
    /// Link with this machine's own tools, as `cargo xtask bench` does.
    is_native: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            arch: Arch::of_this_machine()?,
            profile: Profile::Release,
            is_native: false,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (argument.as_str(), None),
            };
            let mut value = || {
                value
                    .or_else(|| rest.next().map(String::as_str))
                    .with_context(|| format!("`{name}` needs a value"))
            };
            match name {
                "--arch" => options.arch = Arch::parse(value()?)?,
                "--profile" => {
                    options.profile = match value()? {
                        "release" => Profile::Release,
                        "dev" => Profile::Dev,
                        other => bail!("`--profile {other}`: there is `release`, and `dev` for tests"),
                    }
                }
                "--native" => options.is_native = true,
                other => bail!("`{other}` is no option: there is --arch, --native and --profile"),
            }
        }
        if let Profile::Dev = options.profile {
            options.is_native = true;
        }
        let is_foreign = options.arch != Arch::of_this_machine()?;
        ensure!(
            !(options.is_native && is_foreign),
            "`--native` and `--profile dev` link with this machine's tools, which make no programs for {}",
            options.arch.name()
        );
        Ok(options)
    }
}

/// `cargo xtask package`.
pub(crate) fn run(machine: &Machine, arguments: &[String]) -> Result<ExitCode> {
    let options = Options::parse(arguments)?;
    let names: Vec<&str> = std::iter::once("tidemill").chain(lambda::FUNCTIONS).collect();
    let (libraries, programs) = compile(machine, &options, &names)?;
    assemble(machine, &options, &libraries, &programs)?;
    Ok(ExitCode::SUCCESS)
}

/// Compiles these programs, and the components that are shipped. Returns what the programs load, and their folder.
fn compile(machine: &Machine, options: &Options, names: &[&str]) -> Result<(Libraries, PathBuf)> {
    let wasm = step("wasm target", || wasm::prepare(machine))?;
    let libraries = libraries(machine, options.arch)?;
    let mut environment = Environment::default();
    environment.set(duckdb::VARIABLE, libraries.duckdb.parent().context("a library is in a folder")?);
    let (mut cargo, programs) = match options.is_native {
        true => (
            build::cargo(machine, &environment, options.profile, names),
            machine.programs(options.profile),
        ),
        false => cross::cargo(machine, options.arch, &libraries.duckdb, names)?,
    };
    let components = (&Selection::Shipped, options.profile);
    build::all(machine, &mut environment, &wasm, components, (&names.join(", "), &mut cargo))?;
    Ok((libraries, programs))
}

/// The package of the programs and components that the tests have built; nothing is compiled. For `TIDEMILL_PACKAGE`.
pub(crate) fn of_tests(machine: &Machine) -> Result<PathBuf> {
    let options = Options::parse(&["--profile=dev".into()])?;
    let libraries = libraries(machine, options.arch)?;
    assemble(machine, &options, &libraries, &machine.programs(options.profile))
}

fn libraries(machine: &Machine, arch: Arch) -> Result<Libraries> {
    let (duckdb, onnx_runtime) = if arch == Arch::of_this_machine()? {
        let duckdb = step("DuckDB's library", || duckdb::prepare(machine))?;
        (duckdb, step(ONNX_RUNTIME.name, || ONNX_RUNTIME.fetch(machine))?)
    } else {
        let duckdb = step("DuckDB's library", || duckdb::prepare_for(machine, arch.machine()))?;
        let wheel = || ONNX_RUNTIME.fetch_for(machine, arch.wheel_platform());
        (duckdb, step(ONNX_RUNTIME.name, wheel)?)
    };
    Ok(Libraries {
        duckdb: duckdb.join(duckdb::FILE),
        onnx_runtime,
    })
}

/// What a person installs.
struct Contents {
    version: String,
    sbom: String,
    tree: Tree,
}

impl Contents {
    fn read(machine: &Machine, arch: Arch, libraries: &Libraries, programs: &Path, time: &Time) -> Result<Self> {
        let inside = step("what is inside", || {
            let inside = Inside::read(machine, arch)?;
            let said = format!("{} crates, DuckDB, ONNX Runtime", inside.crates.len());
            Ok((inside, said))
        })?;
        let sbom = sbom::render(&inside, arch, time);
        let licences = licences::render(&inside, libraries, &machine.root)?;
        let tree = tree::main(machine, libraries, &programs.join("tidemill"), &sbom, &licences)?;
        Ok(Self {
            version: inside.version,
            sbom,
            tree,
        })
    }
}

/// Makes all files, and returns their folder.
fn assemble(machine: &Machine, options: &Options, libraries: &Libraries, programs: &Path) -> Result<PathBuf> {
    let arch = options.arch;
    let (folder, level) = match options.profile {
        Profile::Release => (machine.folder("package")?, 9),
        // Tests unpack it once.
        Profile::Dev => (machine.folder("package-dev")?, 1),
    };
    remove_earlier(&folder, arch)?;
    let packing = Packing {
        level,
        time: date::of_commit(machine)?,
    };
    let Contents { version, sbom, tree: main } = Contents::read(machine, arch, libraries, programs, &packing.time)?;
    let functions = tree::lambda(arch, libraries, programs)?;
    let main_glibc = main.needed_glibc()?;
    check_lambda(options, functions.needed_glibc()?)?;
    let base = format!("tidemill-{version}-linux-{}", arch.name());
    let lambda_base = format!("tidemill-lambda-{version}-linux-{}", arch.name());
    fs::write(folder.join(format!("{base}.cdx.json")), &sbom)?;
    let main_wheel = python::Wheel {
        name: "tidemill".into(),
        version: version.clone(),
        tag: arch.wheel_tag(main_glibc),
        summary: "Serverless MLOps: the life of a model as small functions that object-storage events chain together",
    };
    let lambda_wheel = python::Wheel {
        name: format!("tidemill-lambda-{}", arch.name().replace('_', "-")),
        version,
        // What is inside runs on Lambda and not where it is installed.
        tag: "py3-none-any".into(),
        summary: "Tidemill's programs for AWS Lambda, which `tidemill deploy sam` packs",
    };
    let made = thread::scope(|scope| {
        let jobs = [
            scope.spawn(|| main_wheel.write(&main, &packing, &folder)),
            scope.spawn(|| archive::tar_gz(&main, &base, &packing, &folder)),
            scope.spawn(|| lambda_wheel.write(&functions, &packing, &folder)),
            scope.spawn(|| archive::tar_gz(&functions, &lambda_base, &packing, &folder)),
        ];
        jobs.map(|job| job.join().map_err(|_| anyhow!("packing panicked"))?)
            .into_iter()
            .collect::<Result<Vec<PathBuf>>>()
    })?;
    for file in made {
        let megabytes = fs::metadata(&file)?.len() as f64 / 1e6;
        note(&format!("{} ({megabytes:.1} MB)", file.display()));
    }
    archive::checksums(&folder)?;
    step("package", || Ok((folder.clone(), folder.display().to_string())))
}

/// Files of an earlier run for this processor: another tag or version would stay beside the new ones.
fn remove_earlier(folder: &Path, arch: Arch) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.contains(arch.name()) || name.contains(arch.machine()) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn check_lambda(options: &Options, needed: Glibc) -> Result<()> {
    if needed <= LAMBDA_GLIBC {
        return Ok(());
    }
    let found =
        format!("the programs for Lambda need glibc {needed}, and Lambda's provided.al2023 has {LAMBDA_GLIBC}: they do not start there");
    match options.profile {
        // What tests assemble is not deployed.
        Profile::Dev => note(&found),
        Profile::Release if options.is_native => {
            bail!(
                "{found}\nhint: leave `--native` out, so that they are linked against glibc {}",
                cross::GLIBC
            )
        }
        Profile::Release => bail!("{found}; a library brings it"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(&arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let options = parse(&["--arch", "arm64"]).unwrap();
        assert!(options.arch == Arch::Arm64 && !options.is_native);
        assert!(parse(&["--profile=dev"]).unwrap().is_native);
        let error = |arguments: &[&str]| parse(arguments).err().unwrap().to_string();
        assert!(error(&["--arch", "mips"]).contains("x86_64"));
        assert!(error(&["--fast"]).contains("--native"));
        assert!(error(&["--arch"]).contains("needs a value"));
    }

    #[test]
    fn a_program_that_lambda_cannot_start_is_refused() {
        let native = parse(&["--native"]).unwrap();
        assert!(check_lambda(&native, Glibc(2, 34)).is_ok());
        assert!(
            check_lambda(&native, Glibc(2, 35))
                .unwrap_err()
                .to_string()
                .contains("leave `--native` out")
        );
    }
}
