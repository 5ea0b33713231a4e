//! The commands, one file each.

mod check;
mod completions;
mod demo;
mod deploy;
mod dev;
mod doctor;
mod events;
mod models;
mod new;
mod overview;
mod predict;
mod put;
mod queue;
mod replay;
mod run;
mod runs;
mod sdk;
mod serve;
mod start;
mod suggest;
mod up;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ErrorKind, parser::ValueSource};
use tidemill_control::Control;

use crate::{
    output::{Output, result_width},
    project::Project,
};

/// Commands that work on no project: [`PROJECT_OPTIONS`] are not offered there.
const WITHOUT_PROJECT: [&str; 3] = ["demo", "new", "completions"];
/// The options that say which project is meant.
const PROJECT_OPTIONS: [&str; 3] = ["project", "store", "state"];

/// The tide turns the mill: data in, models out, watched and trained again.
#[derive(Parser)]
#[command(
    name = "tidemill",
    version,
    disable_help_subcommand = true,
    after_help = "Without a command, `tidemill` says where you are and what to type next."
)]
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
    /// The folder of what is kept beside the store: queue, caches, the log of predictions; default: `.tidemill` in the project.
    #[arg(long, global = true, value_name = "FOLDER", env = "TIDEMILL_STATE")]
    state: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Play a year of real flights: train, serve, monitor, retrain.
    Demo(demo::Demo),
    /// Create a project.
    New(new::New),
    /// Check `tidemill.toml` and draw the pipeline.
    Check(check::Check),
    /// Run the project: stages, predictions, data over HTTP.
    Up(up::Up),
    /// Run the project as `up` does, and apply edits of its files while it runs.
    Dev(dev::Dev),
    /// Answer predictions, beside `up`: any number of servers over one store.
    Serve(serve::Serve),
    /// Store data files of a dataset.
    Put(put::Put),
    /// Request a run of a stage.
    Run(run::Run),
    /// List runs and what runs now; show a run.
    Runs(runs::Runs),
    /// List the queue and the dead letters; retry or drop them.
    Events(events::Events),
    /// List and show models, versions and aliases; import a model, move an alias.
    Models(models::Models),
    /// Request predictions from a model.
    Predict(predict::Predict),
    /// Rebuild models from their records and compare the bytes.
    Replay(replay::Replay),
    /// Write the deployment for another target: AWS SAM, Spin or Kubernetes.
    Deploy(deploy::Deploy),
    /// Check this machine and this project.
    Doctor(doctor::Doctor),
    /// Print a completion script for a shell.
    Completions(completions::Completions),
}

impl Arguments {
    /// The arguments of this process. Help is as wide as results are; a mistake ends the process, as help does.
    pub(crate) fn from_command_line() -> Self {
        let hidden = |id: &'static str| Arg::new(id).long(id).hide(true);
        let hide = |command: clap::Command| match WITHOUT_PROJECT.contains(&command.get_name()) {
            true => command.args(PROJECT_OPTIONS.map(hidden)),
            false => command,
        };
        let mut command = Self::command().term_width(result_width()).mut_subcommands(hide);
        let matches = command.get_matches_mut();
        let name = matches.subcommand_name().unwrap_or_default();
        let is_given = |id: &&&str| matches.value_source(id) == Some(ValueSource::CommandLine);
        if WITHOUT_PROJECT.contains(&name)
            && let Some(id) = PROJECT_OPTIONS.iter().find(is_given)
        {
            let message = format!("`tidemill {name}` works on no project: leave out `--{id}`");
            command.error(ErrorKind::ArgumentConflict, message).exit()
        }
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
    }

    /// The log filter, unless `TIDEMILL_LOG` is set.
    pub(crate) fn default_log_filter(&self) -> &'static str {
        match self.command {
            // Not finding a graph by name is how `predict` learns that it must load it: wasi:nn calls that an error.
            // What a run decided, and what becomes a dead letter, are lines of their own.
            Some(Command::Up(_) | Command::Dev(_) | Command::Serve(_)) => {
                "warn,wasmtime_wasi_nn=off,tidemill=info,tidemill_flow=info,tidemill_host=info,tidemill_engine=info,\
                 tidemill_run::delivery=off,tidemill_run::attempt=warn"
            }
            _ => "error,wasmtime_wasi_nn=off",
        }
    }
}

/// Which project a command works on, as it was typed.
#[derive(Clone, Copy)]
pub(crate) struct ProjectPlace<'a> {
    /// Its folder, or one below.
    dir: Option<&'a Path>,
    /// The location of its store.
    store: Option<&'a str>,
    /// The folder of what is kept beside the store.
    state: Option<&'a Path>,
}

impl ProjectPlace<'_> {
    /// Reads the project.
    fn find(&self) -> tidemill_core::Result<Project> {
        Ok(Project::find(self.dir, self.store)?.with_state(self.state))
    }
}

/// Changes of the project's state.
fn control(project: &Project) -> tidemill_core::Result<Control> {
    Ok(Control::new(project.open_store()?, project.pipeline.clone()))
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let output = Output { json: arguments.json };
    let place = ProjectPlace {
        dir: arguments.project.as_deref(),
        store: arguments.store.as_deref(),
        state: arguments.state.as_deref(),
    };
    let project = || place.find();
    let Some(command) = arguments.command else {
        overview::run(place, output).await?;
        return Ok(ExitCode::SUCCESS);
    };
    match command {
        Command::Demo(command) => return command.run(output).await,
        Command::New(command) => command.run(output)?,
        Command::Check(command) => command.run(&project()?, output)?,
        Command::Up(command) => command.run(place, output).await?,
        Command::Dev(command) => command.run(place, output).await?,
        Command::Serve(command) => command.run(place, output).await?,
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
