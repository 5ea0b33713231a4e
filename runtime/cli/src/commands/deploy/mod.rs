//! `tidemill deploy`: the project as another target takes it. What is written follows from `tidemill.toml` alone, so it may be written
//! again at any time; `--plan` shows what that would change.

mod sam;
mod spin;

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use tidemill_deploy::difference::Difference;

use crate::{
    output::Output,
    project::{Project, read_error},
};

/// Writes what another target needs.
#[derive(Args)]
pub(crate) struct Deploy {
    #[command(subcommand)]
    target: Target,
}

#[derive(Subcommand)]
enum Target {
    /// AWS: a SAM template, and what its functions are told.
    Sam(sam::Sam),
    /// Spin: a manifest, and the components that it names.
    Spin(spin::Spin),
}

impl Deploy {
    pub(crate) fn run(&self, project: &Project, output: Output) -> Result<ExitCode> {
        match &self.target {
            Target::Sam(sam) => sam.run(project, output),
            Target::Spin(spin) => spin.run(project, output),
        }
    }
}

/// `--plan` found something, and was asked to say so.
const EXIT_CHANGED: u8 = 10;

fn exit_code(asked: bool, difference: &Difference) -> ExitCode {
    match asked && !difference.is_empty() {
        true => ExitCode::from(EXIT_CHANGED),
        false => ExitCode::SUCCESS,
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    std::fs::write(path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
}

/// What a file holds, if it is there.
fn read_if_exists(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(read_error(path, &error).into()),
    }
}

fn render_notes(notes: &[String]) -> String {
    notes.iter().map(|note| format!("\nnote: {note}")).collect()
}
