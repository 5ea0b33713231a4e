//! DuckDB's library: the one that npm's package carries, because it is the whole library, prebuilt, on a registry that most networks reach.
//!
//! Its version is part of every run key: another version of the library makes other run keys, so it is pinned here and in `Cargo.toml`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::machine::{Machine, capture, is_installed, preset};

pub(crate) const VERSION: &str = "1.5.6-r.1";

/// The variable that names the library's folder, for set-up and for DuckDB's crate.
pub(crate) const VARIABLE: &str = "DUCKDB_LIB_DIR";

/// The library's file name.
pub(crate) const FILE: &str = if cfg!(target_os = "macos") {
    "libduckdb.dylib"
} else {
    "libduckdb.so"
};

/// The package that fits this machine.
pub(crate) fn package(os: &str, arch: &str) -> Result<&'static str> {
    Ok(match (os, arch) {
        ("linux", "x86_64") => "@duckdb/node-bindings-linux-x64",
        ("linux", "aarch64") => "@duckdb/node-bindings-linux-arm64",
        ("macos", "x86_64") => "@duckdb/node-bindings-darwin-x64",
        ("macos", "aarch64") => "@duckdb/node-bindings-darwin-arm64",
        (os, arch) => bail!("DuckDB has no prebuilt library that set-up knows for {os} on {arch}\n{}", by_hand()),
    })
}

fn by_hand() -> String {
    format!(
        "hint: get {FILE} of DuckDB {} (github.com/duckdb/duckdb/releases), put it into a folder and set DUCKDB_LIB_DIR to that folder",
        VERSION.split('-').next().unwrap_or(VERSION)
    )
}

/// The folder that holds the library, if it is there already.
pub(crate) fn find(machine: &Machine) -> Result<Option<PathBuf>> {
    if let Some(preset) = preset(VARIABLE) {
        if !preset.join(FILE).is_file() {
            bail!("DUCKDB_LIB_DIR is `{}`, which holds no {FILE}\n{}", preset.display(), by_hand());
        }
        return Ok(Some(preset));
    }
    let folder = machine.target.join("duckdb").join(VERSION);
    Ok(folder.join(FILE).is_file().then_some(folder))
}

/// The folder that holds the library; downloads it where it is missing.
pub(crate) fn prepare(machine: &Machine) -> Result<(PathBuf, String)> {
    if let Some(folder) = find(machine)? {
        let how = preset(VARIABLE).map_or("there", |_| "set by DUCKDB_LIB_DIR");
        return Ok((folder, how.into()));
    }
    let package = package(std::env::consts::OS, std::env::consts::ARCH)?;
    let folder = fetch(machine, package, VERSION)?;
    Ok((folder, format!("{package} {VERSION}")))
}

/// The folder that holds the library for Linux on another processor.
pub(crate) fn prepare_for(machine: &Machine, arch: &str) -> Result<(PathBuf, String)> {
    let (package, name) = (package("linux", arch)?, format!("{VERSION}-{arch}"));
    let folder = machine.target.join("duckdb").join(&name);
    match folder.join(FILE).is_file() {
        true => Ok((folder, "there".into())),
        false => Ok((fetch(machine, package, &name)?, format!("{package} {VERSION}"))),
    }
}

fn fetch(machine: &Machine, package: &str, folder: &str) -> Result<PathBuf> {
    if !is_installed("npm") {
        bail!(
            "DuckDB's library comes from npm's `{package}`, and there is no `npm` here\n\
             hint: install it (Debian: `apt-get install npm`; macOS: `brew install node`)\n{}",
            by_hand()
        );
    }
    let folder = machine.folder(&format!("duckdb/{folder}"))?;
    download(machine, package, &folder).with_context(|| format!("DuckDB's library cannot be fetched from npm\n{}", by_hand()))?;
    Ok(folder)
}

fn download(machine: &Machine, package: &str, folder: &Path) -> Result<()> {
    let scratch = machine.folder("duckdb/download")?;
    let name = capture(
        machine
            .command("npm")
            .args(["pack", "--silent", "--pack-destination"])
            .arg(&scratch)
            .arg(format!("{package}@{VERSION}")),
    )?;
    let archive = scratch.join(name.trim().lines().last().context("npm named no file")?);
    capture(machine.command("tar").arg("-xzf").arg(&archive).arg("-C").arg(&scratch))?;
    // Renamed last: a folder that holds the file holds all of it.
    std::fs::rename(scratch.join("package").join(FILE), folder.join(FILE)).with_context(|| format!("{package} holds no {FILE}"))?;
    std::fs::remove_dir_all(&scratch).ok();
    Ok(())
}
