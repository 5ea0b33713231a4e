//! `tidemill up`: the whole project in one process. SIGTERM or Ctrl-C drains it: no new requests, running stages finish, the log is
//! sealed.
//!
//! The standard output says what was found, and that the project is up; what happens afterwards is on the standard error, a line each.

use std::{collections::BTreeSet, io::Write as _, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tidemill_app::{App, DEFAULT_ADDRESS, ListenError, ModelState, Project, RunningApp, ServeSettings, listen, serving_address};
use tidemill_core::{Error, layout::Prefix, text::quoted_list};
use tidemill_observe::{Activity, ActivityLines};

use crate::output::{Output, with_hint, write_stdout};

/// Between two counts of failures that repeat.
const COUNT_INTERVAL: Duration = Duration::from_secs(60);

/// Runs the project.
#[derive(Args)]
pub(crate) struct Up {
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = DEFAULT_ADDRESS)]
    addr: String,
    /// Seconds between two listings of the prefixes where objects appear; default: 5 in a folder, 30 in a bucket. Own writes and
    /// notifications don't wait for it.
    #[arg(long, value_name = "SECONDS", env = "TIDEMILL_POLL")]
    poll: Option<u64>,
}

/// A started project, and the lines that say what happens in it.
pub(super) struct Started {
    pub(super) app: RunningApp,
    pub(super) lines: Arc<ActivityLines>,
}

impl Up {
    pub(crate) async fn run(&self, dir: Option<&Path>, store: Option<&str>, output: Output) -> anyhow::Result<()> {
        let (started, stop) = self.start(dir, store, output).await?;
        stop.await;
        started.stop().await
    }

    /// Starts the project and says so. The future completes when the process is asked to stop.
    pub(super) async fn start(
        &self,
        dir: Option<&Path>,
        store: Option<&str>,
        output: Output,
    ) -> anyhow::Result<(Started, impl Future<Output = ()> + use<>)> {
        let project = Project::find(dir, store)?;
        // Before anything is opened: a start that fails leaves nothing behind.
        let listener = listen(&self.addr).await.map_err(|error| self.listen_error(&project, error))?;
        let app = App::open(project)?;
        // A store that doesn't answer is said by the start itself.
        let overview = Overview::new(app.project(), app.models().await.unwrap_or_default());
        if !output.json {
            write_stdout(overview.render_text().as_bytes())?;
        }
        let lines = watch_activity();
        let running = app.serve(listener, self.settings()).await;
        let running = running.map_err(|error| already_running_error(app.project()).unwrap_or_else(|| error.into()))?;
        // Before the address is printed: a program that reads it may stop this one immediately.
        let stop = stop_signal()?;
        print_ready(&running.address(), &overview, output)?;
        Ok((Started { app: running, lines }, stop))
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

impl Started {
    /// Lets what runs finish, and ends.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let stopped = self.app.shutdown().await;
        self.lines.flush();
        Ok(stopped?)
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

/// Writes what happens to the standard error from now on.
fn watch_activity() -> Arc<ActivityLines> {
    let lines = Arc::new(ActivityLines::new(say));
    let (watching, counting) = (lines.clone(), lines.clone());
    tidemill_observe::global().set_observer(Arc::new(move |activity: &Activity<'_>| watching.add(activity)));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(COUNT_INTERVAL).await;
            counting.flush();
        }
    });
    lines
}

/// Writes a line to the standard error. One that cannot be written is lost: what is served must not end for that.
pub(super) fn say(line: &str) {
    let _lost = writeln!(std::io::stderr().lock(), "{line}");
}

/// What a project consists of, as `up` says it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Overview {
    project: String,
    folder: String,
    store: String,
    datasets: Vec<String>,
    models: Vec<ModelState>,
    stages: Vec<String>,
    /// Components of stages that are not there.
    missing: Vec<String>,
    /// What starts the chain, for a person.
    waits_for: Vec<String>,
}

impl Overview {
    fn new(project: &Project, models: Vec<ModelState>) -> Self {
        let pipeline = &project.pipeline;
        let mut stages: Vec<String> = Vec::new();
        for node in &pipeline.nodes {
            if !stages.contains(&node.stage) {
                stages.push(node.stage.clone());
            }
        }
        Self {
            project: pipeline.project.clone(),
            folder: project.root.display().to_string(),
            store: project.location.clone(),
            datasets: pipeline.datasets.keys().cloned().collect(),
            models,
            stages,
            missing: missing_components(project),
            waits_for: waits_for(project),
        }
    }

    fn render_text(&self) -> String {
        let mut text = format!("project `{}` in {}\n", self.project, self.folder);
        let mut add = |name: &str, value: String| text += &format!("  {name:9} {value}\n");
        add("store", self.store.clone());
        if !self.datasets.is_empty() {
            add("datasets", self.datasets.join(", "));
        }
        add("stages", self.stages.join(", "));
        for model in &self.models {
            let state = match model.champion {
                Some(version) => format!("version {version} is the champion"),
                None => "no model yet".to_owned(),
            };
            add("model", format!("{}: {state}", model.name));
        }
        for component in &self.missing {
            add(
                "missing",
                format!("the component `{component}`: build it; runs of its stage fail until then"),
            );
        }
        text
    }
}

fn missing_components(project: &Project) -> Vec<String> {
    let components: BTreeSet<&String> = project.pipeline.nodes.iter().map(|node| &node.component).collect();
    let missing = components.into_iter().filter(|name| project.component_path(name).is_err());
    missing.cloned().collect()
}

/// The objects of others that trigger a stage: files of datasets, and what matches the patterns of added stages.
fn waits_for(project: &Project) -> Vec<String> {
    let pipeline = &project.pipeline;
    let mut waits: Vec<String> = pipeline
        .datasets
        .keys()
        .map(|name| format!("files under {}: `tidemill put {name} <file>`", Prefix::Raw.under(name)))
        .collect();
    for node in pipeline.nodes.iter().filter(|node| node.stage == node.resource) {
        let edges = pipeline.edges();
        let is_external = |on: &&String| !edges.iter().any(|edge| edge.to == node.id() && edge.pattern == **on) && node.every.is_none();
        let on: Vec<&String> = node.on.iter().filter(is_external).collect();
        if !on.is_empty() {
            waits.push(format!("objects that match {}, for the stage `{}`", quoted_list(on), node.stage));
        }
    }
    waits
}

fn print_ready(address: &str, overview: &Overview, output: Output) -> anyhow::Result<()> {
    let text = match output.json {
        true => {
            let mut value = serde_json::to_value(overview)?;
            value["address"] = address.into();
            format!("{value}\n")
        }
        false => {
            let waits = overview.waits_for.iter().map(|what| format!("waiting for {what}\n"));
            format!("`{}` is up at {address}\n{}", overview.project, waits.collect::<String>())
        }
    };
    write_stdout(text.as_bytes())
}

/// Completes when the process is asked to stop. Signals are caught from this call on, not from the first poll.
#[cfg(unix)]
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + use<>> {
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
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + use<>> {
    Ok(async {
        let _stop = tokio::signal::ctrl_c().await;
    })
}
