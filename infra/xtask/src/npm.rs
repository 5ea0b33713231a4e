//! Packages from npm, each in a folder of its own under the target folder. Only tests need them.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::machine::{Machine, capture, is_installed};

/// The folder whose `node_modules` holds the package, and what was done. Installs when the version is another than the last time.
pub(crate) fn package(machine: &Machine, name: &str, package: &str) -> Result<(PathBuf, String)> {
    let folder = machine.target.join(name);
    // Written last: what was left half done is installed again.
    let stamp = folder.join("installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == package) {
        return Ok((folder, "there".into()));
    }
    if !is_installed("npm") {
        bail!(
            "{package} comes from npm, and there is no `npm` here\nhint: install Node 20 or later (Debian: `apt-get install npm`; macOS: `brew \
             install node`)"
        );
    }
    std::fs::create_dir_all(&folder)?;
    let npm = ["install", "--silent", "--no-audit", "--no-fund", "--prefix"];
    capture(machine.command("npm").args(npm).arg(&folder).arg(package))?;
    std::fs::write(&stamp, package)?;
    Ok((folder, package.into()))
}
