//! The commands, one file each.

mod check;
mod completions;
mod deploy;
mod dev;
mod doctor;
mod events;
mod models;
mod new;
mod predict;
mod put;
mod replay;
mod run;
mod runs;
mod suggest;
mod up;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tidemill_control::Control;

use crate::{output::Output, project::Project};

/// The tide turns the mill: data in, models out, watched and trained again.
#[derive(Parser)]
#[command(name = "tidemill", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// Print results and errors as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The project's folder; default: the current folder, or the nearest one above that has `tidemill.toml`.
    #[arg(long, global = true, value_name = "FOLDER")]
    project: Option<PathBuf>,
    /// The store: a folder, or `s3://bucket/prefix`; default: what `tidemill.toml` says, or `.tidemill/store`.
    #[arg(long, global = true, value_name = "LOCATION", env = "TIDEMILL_STORE")]
    store: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create a project.
    New(new::New),
    /// Check `tidemill.toml` and draw the pipeline.
    Check(check::Check),
    /// Run the project: stages, predictions, data over HTTP.
    Up(up::Up),
    /// Run the project as `up` does, and apply edits of its files while it runs.
    Dev(dev::Dev),
    /// Store data files of a dataset.
    Put(put::Put),
    /// Request a run of a stage.
    Run(run::Run),
    /// List runs and their outcomes.
    Runs(runs::Runs),
    /// List the queue and the dead letters; retry or drop them.
    Events(events::Events),
    /// List models, versions and aliases; import a model, move an alias.
    Models(models::Models),
    /// Request predictions from a model.
    Predict(predict::Predict),
    /// Rebuild models from their records and compare the bytes.
    Replay(replay::Replay),
    /// Write the deployment for another target: AWS SAM or Spin.
    Deploy(deploy::Deploy),
    /// Check this machine and this project.
    Doctor(doctor::Doctor),
    /// Print a completion script for a shell.
    Completions(completions::Completions),
}

impl Arguments {
    /// The log filter, unless `TIDEMILL_LOG` is set.
    pub(crate) fn default_log_filter(&self) -> &'static str {
        match self.command {
            // Not finding a graph by name is how `predict` learns that it must load it: wasi:nn calls that an error.
            // What becomes a dead letter is a line of its own.
            Command::Up(_) | Command::Dev(_) => {
                "warn,wasmtime_wasi_nn=off,tidemill=info,tidemill_flow=info,tidemill_host=info,tidemill_engine=info,\
                 tidemill_run::delivery=off"
            }
            _ => "error,wasmtime_wasi_nn=off",
        }
    }
}

/// Changes of the project's state.
fn control(project: &Project) -> tidemill_core::Result<Control> {
    Ok(Control::new(project.open_store()?, project.pipeline.clone()))
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let output = Output { json: arguments.json };
    let store = arguments.store.as_deref();
    let project = || Project::find(arguments.project.as_deref(), store);
    match arguments.command {
        Command::New(command) => command.run(output)?,
        Command::Check(command) => command.run(&project()?, output)?,
        Command::Up(command) => command.run(arguments.project.as_deref(), store, output).await?,
        Command::Dev(command) => command.run(arguments.project.as_deref(), store, output).await?,
        Command::Put(command) => command.run(&project()?, output).await?,
        Command::Run(command) => command.run(&project()?, output).await?,
        Command::Runs(command) => command.run(&project()?, output).await?,
        Command::Events(command) => command.run(&project()?, output).await?,
        Command::Models(command) => command.run(&project()?, output).await?,
        Command::Predict(command) => command.run(&project()?, output).await?,
        Command::Replay(command) => return command.run(&project()?, output).await,
        Command::Deploy(command) => return command.run(&project()?, output),
        Command::Doctor(command) => return command.run(project().ok().as_ref(), output).await,
        Command::Completions(command) => command.run()?,
    }
    Ok(ExitCode::SUCCESS)
}
