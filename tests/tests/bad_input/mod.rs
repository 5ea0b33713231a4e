//! Bad input, end to end through the real `tidemill`: each is answered clearly, with the right status or exit code, and leaves
//! nothing half-written.

/// Files and rows that are not what the dataset takes.
mod data;
/// A disk that is full, and then is not.
mod disk;
/// Versions that cannot be served, and aliases that move under load.
mod models;
/// Requests to a model.
mod requests;
/// `tidemill up` where it cannot come up.
mod starts;
/// A serving component that traps.
mod traps;

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

/// A folder that outlives the test.
fn keep() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// `tidemill <arguments>` in a folder must fail with this exit code, saying all of these.
fn fails(tidemill: &Path, folder: &Path, arguments: &[&str], code: i32, says: &[&str]) -> Result<()> {
    let output = Command::new(tidemill)
        .args(arguments)
        .current_dir(folder)
        .output()
        .with_context(|| format!("{arguments:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code),
        "{arguments:?} ended with {}, not {code}: {said}",
        output.status
    );
    ensure!(said.starts_with("error: "), "{arguments:?} said {said}");
    for part in says {
        ensure!(said.contains(part), "{arguments:?} does not say `{part}`: {said}");
    }
    Ok(())
}
