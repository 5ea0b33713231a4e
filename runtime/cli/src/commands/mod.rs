//! The commands, one file each.

mod check;
mod completions;
mod deploy;
mod doctor;
mod events;
mod import;
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

use crate::{output::Output, project::Project};

/// The tide turns the mill: data in, models out, watched and trained again.
#[derive(Parser)]
#[command(name = "tidemill", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// Results as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// The project's folder; default: here, or above.
    #[arg(long, global = true, value_name = "FOLDER")]
    project: Option<PathBuf>,
    /// Where the state is: a folder, or `s3://bucket/prefix`; default: what `tidemill.toml` says, or `.tidemill/store`.
    #[arg(long, global = true, value_name = "LOCATION", env = "TIDEMILL_STORE")]
    store: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a project.
    New(new::New),
    /// Check `tidemill.toml` and draw the chain.
    Check(check::Check),
    /// Run the project: stages, predictions, data over HTTP.
    Up(up::Up),
    /// Bring files into a dataset.
    Put(put::Put),
    /// Ask for a run.
    Run(run::Run),
    /// What was decided, and how the runs went.
    Runs(runs::Runs),
    /// What waits, and what failed for good.
    Events(events::Events),
    /// Models, their versions and aliases.
    Models(models::Models),
    /// Ask a model.
    Predict(predict::Predict),
    /// Build models again from their records and compare the bytes.
    Replay(replay::Replay),
    /// Write what another target needs: AWS by SAM, or Spin.
    Deploy(deploy::Deploy),
    /// What this machine has and lacks.
    Doctor(doctor::Doctor),
    /// Completions for a shell.
    Completions(completions::Completions),
}

impl Arguments {
    /// What is logged unless `TIDEMILL_LOG` says otherwise.
    pub(crate) fn default_log_filter(&self) -> &'static str {
        match self.command {
            // Not finding a graph by name is how `predict` learns that it must load it: wasi:nn calls that an error.
            Command::Up(_) => "warn,wasmtime_wasi_nn=off,tidemill=info,tidemill_flow=info,tidemill_host=info,tidemill_engine=info",
            _ => "error,wasmtime_wasi_nn=off",
        }
    }
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
