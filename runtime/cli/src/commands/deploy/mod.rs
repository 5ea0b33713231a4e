//! `tidemill deploy`: writes the deployment of a project for another target. The files follow from `tidemill.toml` alone and can be written
//! again at any time; `--plan` shows the changes first.

mod folder;
mod k8s;
mod lambda_package;
mod sam;
mod spin;

use std::{path::Path, process::ExitCode};

use anyhow::Result;
use clap::{Args, Subcommand};
use tidemill_deploy::difference::Difference;

use crate::{
    output::Output,
    project::{Project, read_error},
};

/// Writes the deployment for another target.
#[derive(Args)]
pub(crate) struct Deploy {
    #[command(subcommand)]
    target: Target,
}

#[derive(Subcommand)]
enum Target {
    /// AWS: a SAM template with the settings, components and programs of its functions.
    Sam(sam::Sam),
    /// Spin: a manifest and its components.
    Spin(spin::Spin),
    /// Kubernetes: manifests of one coordinator and any number of servers.
    K8s(k8s::K8s),
}

impl Deploy {
    pub(crate) fn run(&self, project: &Project, output: Output) -> Result<ExitCode> {
        match &self.target {
            Target::Sam(sam) => sam.run(project, output),
            Target::Spin(spin) => spin.run(project, output),
            Target::K8s(k8s) => k8s.run(project, output),
        }
    }
}

/// The exit code of `--plan --exit-code` if something would change.
const EXIT_CHANGED: u8 = 10;

/// How a target's deployment is shown instead of written.
#[derive(Args)]
struct PlanArguments {
    /// Show what would change, and change nothing.
    #[arg(long)]
    plan: bool,
    /// With `--plan`: exit with 10 if anything would change.
    #[arg(long, requires = "plan")]
    exit_code: bool,
}

impl PlanArguments {
    fn exit_code(&self, difference: &Difference) -> ExitCode {
        match self.exit_code && !difference.is_empty() {
            true => ExitCode::from(EXIT_CHANGED),
            false => ExitCode::SUCCESS,
        }
    }
}

fn render_plan(difference: &Difference, notes: &[String]) -> String {
    format!("{}{}", difference.render_text(), render_notes(notes))
}

/// The text of a file; `None` if it does not exist.
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
