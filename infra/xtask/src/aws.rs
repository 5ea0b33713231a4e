//! The checks of templates for AWS, from PyPI: the linter, and SAM's transformation. Half a minute and 230 MB; `sam` itself and
//! `checkov` take a hundred seconds each and are left to people.

use std::path::PathBuf;

use anyhow::Result;

use crate::{machine::Machine, venv};

const PACKAGES: [&str; 2] = ["cfn-lint==1.58.0", "aws-sam-translator==1.115.0"];

/// The folder of the programs.
pub(crate) fn prepare(machine: &Machine) -> Result<(PathBuf, String)> {
    venv::packages(machine, "aws-lint", &PACKAGES)
}
