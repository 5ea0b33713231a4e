//! The tools that make components of Python and JavaScript: componentize-py from PyPI, jco from npm. Only tests need them.
//!
//! The versions are those that the templates name; `tests/tests/templates` compares them.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{
    machine::{Environment, Machine, capture, is_installed},
    step::step,
    venv,
};

const COMPONENTIZE_PY: &str = "componentize-py==0.25.0";
/// Parses `/metrics` in a test.
const PROMETHEUS: &str = "prometheus_client==0.26.0";
const JCO: &str = "@bytecodealliance/jco@1.35.0";

/// Both, and what the tests are told of them.
pub(crate) fn prepare(machine: &Machine, environment: &mut Environment) -> Result<()> {
    let python = step("componentize-py", || venv::packages(machine, "componentize-py", &[COMPONENTIZE_PY]))?;
    environment.set("TIDEMILL_COMPONENTIZE_PY", python);
    let prometheus = step("prometheus_client", || venv::packages(machine, "prometheus", &[PROMETHEUS]))?;
    environment.set("TIDEMILL_PROMETHEUS", prometheus);
    environment.set("TIDEMILL_JCO", step("jco", || jco(machine))?);
    // A Rust stage is built in this machine's way, which xtask knows.
    environment.set("TIDEMILL_XTASK", std::env::current_exe()?);
    Ok(())
}

/// The folder whose `node_modules` holds jco: 340 MB, for it brings several engines.
fn jco(machine: &Machine) -> Result<(PathBuf, String)> {
    let folder = machine.target.join("jco");
    // Written last: what was left half done is installed again.
    let stamp = folder.join("installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == JCO) {
        return Ok((folder, "there".into()));
    }
    if !is_installed("npm") {
        bail!(
            "jco comes from npm, and there is no `npm` here\nhint: install Node 20 or later (Debian: `apt-get install npm`; macOS: `brew install node`)"
        );
    }
    std::fs::create_dir_all(&folder)?;
    let npm = ["install", "--silent", "--no-audit", "--no-fund", "--prefix"];
    capture(machine.command("npm").args(npm).arg(&folder).arg(JCO))?;
    std::fs::write(&stamp, JCO)?;
    Ok((folder, JCO.into()))
}
