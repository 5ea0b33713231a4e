//! `tidemill up`: the whole project in one process. SIGTERM or Ctrl-C drains it: no new requests, running stages finish, the log is
//! sealed.
//!
//! The standard output says what was found, and that the project is up; what happens afterwards is on the standard error, a line each.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use clap::Args;
use serde::Serialize;
use tidemill_app::{App, ListenError, ModelState, Project, RunningApp, ServeSettings, listen, serving_address};
use tidemill_core::{Error, layout::Prefix, text::quoted_list};
use tidemill_observe::ActivityLines;

use super::{
    ProjectPlace,
    start::{Listening, describe_model, stop_signal, unless_stopped, watch_activity},
};
use crate::output::{Output, with_hint, write_stdout};

/// Runs the project. The limits of requests and connections: docs/limits.md.
#[derive(Args)]
pub(crate) struct Up {
    #[command(flatten)]
    listening: Listening,
    /// Seconds between two listings of the prefixes where objects appear; default: 5 in a folder, 30 in a bucket. Own writes and
    /// notifications don't wait for it.
    #[arg(long, value_name = "SECONDS", env = "TIDEMILL_POLL")]
    poll: Option<u64>,
    /// Seconds that the closing of a monitoring window waits for the predictions of other servers of the same store (`tidemill serve`): each
    /// stores what it logged within 30 seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    window_delay: u64,
}

/// A started project, and the lines that say what happens in it.
pub(super) struct Started {
    pub(super) app: RunningApp,
    pub(super) lines: Arc<ActivityLines>,
}

impl Up {
    pub(crate) async fn run(&self, place: ProjectPlace<'_>, output: Output) -> anyhow::Result<()> {
        let (started, stop) = self.start(place, output).await?;
        stop.await;
        started.stop().await
    }

    /// Starts the project and says so. The future completes when the process is asked to stop.
    pub(super) async fn start(
        &self,
        place: ProjectPlace<'_>,
        output: Output,
    ) -> anyhow::Result<(Started, impl Future<Output = ()> + use<>)> {
        let project = place.find()?.with_sql_in_children()?;
        // Before anything is opened: a start that fails leaves nothing behind.
        let listener = listen(&self.listening.addr)
            .await
            .map_err(|error| self.listen_error(&project, error))?;
        let app = App::open(project)?;
        // A store that doesn't answer is said by the start itself.
        let overview = Overview::new(app.project(), app.models().await.unwrap_or_default());
        if !output.json {
            write_stdout(overview.render_text().as_bytes())?;
        }
        let lines = watch_activity();
        let mut stop = Box::pin(stop_signal()?);
        let running = unless_stopped(&mut stop, app.serve(listener, self.settings())).await?;
        let running = running.map_err(|error| already_running_error(app.project()).unwrap_or_else(|| error.into()))?;
        print_ready(&running.address(), &overview, output)?;
        Ok((Started { app: running, lines }, stop))
    }

    fn settings(&self) -> ServeSettings {
        ServeSettings {
            poll_seconds: self.poll,
            window_delay: Duration::from_secs(self.window_delay),
            ..self.listening.settings()
        }
    }

    fn listen_error(&self, project: &Project, error: ListenError) -> anyhow::Error {
        match (already_running_error(project), error) {
            (Some(already), _) if project.running_address().is_some_and(|at| at.ends_with(&self.listening.addr)) => already,
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
            add("model", describe_model(model));
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
