//! The parts that the end-to-end tests share: a small project with synthetic data, untrained and trained, its prediction log, and the hosts
//! that serve the components of Spin.

pub mod documents;
pub mod prediction_log;
pub mod small;
pub mod spin;
pub mod trained;

use std::process::Output;

use anyhow::{Result, ensure};

/// What a program wrote to its standard output.
///
/// # Errors
/// If it failed: its status, and all that it wrote.
pub fn stdout_of(output: Output) -> Result<String> {
    ensure!(
        output.status.success(),
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
