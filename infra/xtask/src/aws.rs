//! The checks of templates for AWS, from PyPI: the linter, and SAM's transformation. Half a minute and 230 MB; `sam` itself and
//! `checkov` take a hundred seconds each and are left to people.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::machine::{Machine, quiet};

const PACKAGES: [&str; 2] = ["cfn-lint==1.58.0", "aws-sam-translator==1.115.0"];

/// The folder of the programs.
pub(crate) fn prepare(machine: &Machine) -> Result<(PathBuf, String)> {
    let folder = machine.target.join("aws-lint");
    let programs = folder.join("bin");
    // Written last: a folder that was left half done is made again.
    let done = folder.join("installed");
    let wanted = PACKAGES.join(" ");
    if std::fs::read_to_string(&done).is_ok_and(|there| there == wanted) {
        return Ok((programs, "there".into()));
    }
    quiet(machine.command("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    install(machine, &programs.join("python"))?;
    std::fs::write(&done, &wanted)?;
    Ok((programs, wanted))
}

fn install(machine: &Machine, python: &Path) -> Result<String> {
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
    ];
    quiet(machine.command(python).args(pip).args(PACKAGES))
}
