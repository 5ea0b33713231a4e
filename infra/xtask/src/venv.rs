//! Programs and packages from PyPI, in a virtual environment of their own under the target folder.

use std::path::PathBuf;

use anyhow::Result;

use crate::machine::{Machine, capture};

/// The environment's folder of programs, `python` among them, and what was done. Installs when the list is another than the last time.
pub(crate) fn packages(machine: &Machine, name: &str, packages: &[&str]) -> Result<(PathBuf, String)> {
    let folder = machine.target.join(name);
    let programs = folder.join("bin");
    // Written last: what was left half done is installed again.
    let stamp = folder.join("installed");
    let wanted = packages.join(", ");
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok((programs, "there".into()));
    }
    if !programs.join("python").is_file() {
        capture(machine.command("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    }
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
    ];
    capture(machine.command(programs.join("python")).args(pip).args(packages))?;
    std::fs::write(&stamp, &wanted)?;
    Ok((programs, wanted))
}
