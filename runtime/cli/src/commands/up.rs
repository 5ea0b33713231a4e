//! `tidemill up`: the whole project in one process. SIGTERM or Ctrl-C drains it: no new requests, running stages finish, the log is
//! sealed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use tidemill_app::{App, DEFAULT_ADDRESS, ListenError, Project, ServeSettings, listen, serving_address};
use tidemill_core::Error;

use crate::output::{Output, with_hint};

/// Runs the project.
#[derive(Args)]
pub(crate) struct Up {
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = DEFAULT_ADDRESS)]
    addr: String,
    /// The project's folder; default: here, or above.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Seconds between two listings of the prefixes where objects appear; default: 5 in a folder, 30 in a bucket. Own writes and
    /// notifications don't wait for it.
    #[arg(long, value_name = "SECONDS", env = "TIDEMILL_POLL")]
    poll: Option<u64>,
}

impl Up {
    pub(crate) async fn run(&self, dir: Option<&Path>, store: Option<&str>, output: Output) -> anyhow::Result<()> {
        let project = Project::find(self.dir.as_deref().or(dir), store)?;
        // Before anything is opened: a start that fails leaves nothing behind.
        let listener = listen(&self.addr).await.map_err(|error| self.listen_error(&project, error))?;
        let app = App::open(project)?;
        let running = app.serve(listener, self.settings()).await;
        let running = running.map_err(|error| already_running_error(app.project()).unwrap_or_else(|| error.into()))?;
        // Before the address is printed: a program that reads it may stop this one immediately.
        let stop = stop_signal()?;
        print_ready(&running.address(), app.project(), output)?;
        stop.await;
        Ok(running.shutdown().await?)
    }

    fn settings(&self) -> ServeSettings {
        ServeSettings {
            poll_seconds: self.poll,
            ..ServeSettings::from_environment()
        }
    }

    fn listen_error(&self, project: &Project, error: ListenError) -> anyhow::Error {
        match (already_running_error(project), error) {
            (Some(already), _) if project.running_address().is_some_and(|at| at.ends_with(&self.addr)) => already,
            (_, ListenError::InUse(error)) => with_hint(error, "another port: `tidemill up --addr 127.0.0.1:0` takes a free one"),
            (_, ListenError::Invalid(error)) => error.into(),
        }
    }
}

/// The error for a project that another process serves, if one answers.
fn already_running_error(project: &Project) -> Option<anyhow::Error> {
    let at = serving_address(project)?;
    let error = Error::config(format!("`{}` is up already, at {at}", project.pipeline.project));
    Some(with_hint(
        error,
        "use that one, or stop it first: one process at a time writes a project's log and queue",
    ))
}

fn print_ready(address: &str, project: &Project, output: Output) -> anyhow::Result<()> {
    let project = &project.pipeline.project;
    let line = match output.json {
        true => serde_json::json!({ "address": address, "project": project }).to_string(),
        false => format!("`{project}` is up at {address}"),
    };
    crate::output::write_stdout(format!("{line}\n").as_bytes())
}

/// Completes when the process is asked to stop. Signals are caught from this call on, not from the first poll.
#[cfg(unix)]
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let catch = |kind| signal(kind).context("signals cannot be caught");
    let (mut terminate, mut interrupt) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Completes when the process is asked to stop.
#[cfg(not(unix))]
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        let _stop = tokio::signal::ctrl_c().await;
    })
}
