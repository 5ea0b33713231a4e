//! Programs that are linked by zig, which brings the C library's symbols of each version for each processor: so a package runs on systems
//! older than this one, and on Lambda, and packages for arm64 are made anywhere.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{arch::Arch, elf::Glibc};
use crate::{
    build, duckdb,
    machine::{Environment, Machine, capture},
    step::step,
    venv,
};

/// The linker, and cargo's way to it.
const PACKAGES: [&str; 2] = ["ziglang==0.17.1", "cargo-zigbuild==0.24.1"];

/// The C library that programs are linked against: that of Debian 10 and RHEL 8, which ONNX Runtime's library needs too.
pub(super) const GLIBC: Glibc = Glibc(2, 28);

/// The command that builds these programs in release, and the folder where they will be.
pub(super) fn cargo(machine: &Machine, arch: Arch, duckdb: &Path, programs: &[&str]) -> Result<(Command, PathBuf)> {
    let zig = step("zig", || venv::packages(machine, "zig", &PACKAGES))?;
    let triple = arch.triple();
    step("Rust's target", || add_target(machine, triple))?;
    let mut environment = Environment::default();
    environment.set(duckdb::VARIABLE, duckdb.parent().context("a library is in a folder")?);
    let mut command = machine.command(zig.join("cargo-zigbuild"));
    environment.apply(&mut command);
    // cargo-zigbuild asks `python3` for zig.
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(zig).chain(env::split_paths(&path)))?;
    command.env("PATH", path);
    command
        .env("CARGO_ENCODED_RUSTFLAGS", machine.remapped_paths().join("\u{1f}"))
        .env_remove("RUSTFLAGS");
    command.args(["zigbuild", "--quiet", "--release", "--target", &format!("{triple}.{GLIBC}")]);
    build::RELEASED.iter().for_each(|package| _ = command.args(["--package", package]));
    programs.iter().for_each(|name| _ = command.args(["--bin", name]));
    Ok((command, machine.target.join(triple).join("release")))
}

fn add_target(machine: &Machine, triple: &str) -> Result<((), String)> {
    let has = || {
        let folder = capture(machine.command("rustc").args(["--print", "target-libdir", "--target", triple]));
        folder.is_ok_and(|folder| std::fs::read_dir(folder.trim()).is_ok_and(|mut files| files.next().is_some()))
    };
    if has() {
        return Ok(((), "there".into()));
    }
    capture(machine.command("rustup").args(["target", "add", triple]))
        .with_context(|| format!("programs for {triple} need Rust's standard library for it"))?;
    Ok(((), format!("{triple}, added by rustup")))
}
