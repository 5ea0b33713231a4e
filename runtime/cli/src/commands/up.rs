//! `tidemill up`: the whole project in one process. SIGTERM (or Ctrl-C) drains it: no new requests, running stages finish, the log is sealed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tidemill_core::{Error, Result};
use tidemill_flow::{Flow, FlowOptions, FlowSetup};
use tidemill_host::{
    MessageQueue, Store,
    log::{DurableLog, LogOptions, LoggedModel, summarize_window},
};
use tidemill_run::{WindowSource, WindowSummary};

use crate::{
    engine::EngineRunner,
    output::{Output, with_hint},
    project::{Project, run_environment},
    server,
};

/// Where it listens unless told otherwise.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";

/// Runs the project.
#[derive(Args)]
pub(crate) struct Up {
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = DEFAULT_ADDRESS)]
    addr: String,
    /// The project's folder; default: here, or above.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Seconds between two listings of the places where objects appear; default: 5 in a folder, 30 in a bucket. Own writes and
    /// notices do not wait for it.
    #[arg(long, value_name = "SECONDS", env = "TIDEMILL_POLL")]
    poll: Option<u64>,
}

struct LogWindows {
    log: DurableLog,
    store: Store,
}

impl WindowSource for LogWindows {
    fn seal<'a>(&'a self, model: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.log.seal(model))
    }
    fn summarize<'a>(&'a self, model: &'a str, start: Timestamp) -> BoxFuture<'a, Result<WindowSummary>> {
        Box::pin(summarize_window(&self.store, model, start))
    }
}

impl Up {
    pub(crate) async fn run(&self, dir: Option<&Path>, store: Option<&str>, output: Output) -> anyhow::Result<()> {
        let project = Project::find(self.dir.as_deref().or(dir), store)?;
        // Before anything is opened: a start that fails leaves nothing behind.
        let listener = server::bind(&self.addr).await.map_err(|error| self.bind_error(&project, error))?;
        let store = project.open_store()?;
        let queue = project.settings.queue.as_deref().map(MessageQueue::open).transpose()?;
        let windows = logged_models(&project);
        let log = DurableLog::open(&project.state_path("log"), store.clone(), windows, LogOptions::default())
            .map_err(|error| already_running_error(&project).unwrap_or_else(|| error.into()))?;
        let slot = server::FlowSlot::default();
        let server = server::start(&project, &store, log.clone(), listener, Some(slot.clone())).await?;
        let address = format!("http://{}", server.addr());
        let flow = Flow::start(FlowSetup {
            pipeline: project.pipeline.clone(),
            store: store.clone(),
            sql: project.sql_engine(None)?,
            runner: Arc::new(EngineRunner::new(&project)?),
            windows: Arc::new(LogWindows {
                log: log.clone(),
                store: store.clone(),
            }),
            options: FlowOptions {
                poll_interval: self.poll_interval(&project, &store),
                queue_path: Some(project.queue_file()),
                environment: run_environment(),
                ..FlowOptions::default()
            },
        })
        .await?;
        let _ = slot.set(flow.clone());
        let following = queue.map(|queue| {
            let flow = flow.clone();
            tokio::spawn(async move { flow.consume(&queue).await })
        });
        let at = project.state_path("address");
        std::fs::write(&at, &address).with_context(|| format!("cannot write `{}`", at.display()))?;
        // Listened for before anybody is told that it is up: who stops it at once must not end it half-way.
        let stopped = stopped()?;
        print_ready(&address, &project, output)?;
        stopped.await;
        let _ = std::fs::remove_file(&at);
        if let Some(following) = following {
            following.abort();
        }
        server.stop().await;
        flow.stop().await?;
        for model in project.pipeline.models.keys() {
            log.seal(model).await?;
        }
        Ok(())
    }
}

impl Up {
    fn poll_interval(&self, project: &Project, store: &Store) -> Duration {
        // A listing of a bucket costs money and a file system's does not.
        let usual = if store.bucket().is_some() { 30 } else { 5 };
        Duration::from_secs(self.poll.or(project.settings.poll_seconds).unwrap_or(usual).max(1))
    }

    fn bind_error(&self, project: &Project, error: Error) -> anyhow::Error {
        match already_running_error(project) {
            Some(twice) if project.running_address().is_some_and(|at| at.ends_with(&self.addr)) => twice,
            _ if error.message.contains("in use") => with_hint(error, "another port: `tidemill up --addr 127.0.0.1:0` takes a free one"),
            _ => error.into(),
        }
    }
}

/// The error that the project runs already, if it answers where it said.
fn already_running_error(project: &Project) -> Option<anyhow::Error> {
    let at = project.running_address()?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(2)))
        .build()
        .into();
    agent.get(format!("{at}/healthz")).call().ok()?;
    let error = Error::config(format!("`{}` is up already, at {at}", project.pipeline.project));
    Some(with_hint(
        error,
        "use that one, or stop it first: one process at a time writes a project's log and queue",
    ))
}

fn print_ready(address: &str, project: &Project, output: Output) -> anyhow::Result<()> {
    use std::io::Write as _;
    let line = match output.json {
        true => serde_json::json!({ "address": address, "project": project.pipeline.project }).to_string(),
        false => format!("`{}` is up at {address}", project.pipeline.project),
    };
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// What the log must know of each model: its window, and which column is the time.
pub(crate) fn logged_models(project: &Project) -> BTreeMap<String, LoggedModel> {
    let pipeline = &project.pipeline;
    let models = pipeline.models.iter().filter_map(|(name, model)| {
        let time = pipeline.features.get(&model.features)?.time.clone();
        Some((
            name.clone(),
            LoggedModel {
                window: model.monitor.window,
                time,
            },
        ))
    });
    models.collect()
}

/// Returns when the process is asked to stop. It is listened for from this call on, not from the first wait.
#[cfg(unix)]
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).context("signals cannot be listened for");
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Returns when the process is asked to stop.
#[cfg(not(unix))]
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        let _asked = tokio::signal::ctrl_c().await;
    })
}
