//! The tools that make components of Python and JavaScript: componentize-py from PyPI, jco from npm. Only tests need them.
//!
//! The versions are those that the templates name; `tests/tests/templates` compares them.

use anyhow::Result;

use crate::{
    machine::{Environment, Machine},
    npm,
    step::step,
    venv,
};

const COMPONENTIZE_PY: &str = "componentize-py==0.25.0";
/// Parses `/metrics` in a test.
const PROMETHEUS: &str = "prometheus_client==0.26.0";
/// 340 MB, for it brings several engines.
const JCO: &str = "@bytecodealliance/jco@1.35.0";

/// Both, and what the tests are told of them.
pub(crate) fn prepare(machine: &Machine, environment: &mut Environment) -> Result<()> {
    let python = step("componentize-py", || venv::packages(machine, "componentize-py", &[COMPONENTIZE_PY]))?;
    environment.set("TIDEMILL_COMPONENTIZE_PY", python);
    let prometheus = step("prometheus_client", || venv::packages(machine, "prometheus", &[PROMETHEUS]))?;
    environment.set("TIDEMILL_PROMETHEUS", prometheus);
    environment.set("TIDEMILL_JCO", step("jco", || npm::package(machine, "jco", JCO))?);
    // A Rust stage is built in this machine's way, which xtask knows.
    environment.set("TIDEMILL_XTASK", std::env::current_exe()?);
    Ok(())
}
