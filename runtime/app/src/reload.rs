//! Another configuration for a project that is being served, without a restart.
//!
//! Everything that can fail is done first, while what runs goes on: the files are checked and the components compiled. Then stages that run
//! are waited for, and a new flow takes over the queue of the one before. Predictions are answered all the time: requests that have begun
//! finish as they began, and no connection is closed. An event waits in the queue while the last runs of the old configuration finish.

use std::sync::Arc;

use tidemill_api::FlowSlot;
use tidemill_core::{Digest, Error, Result, pipeline::deployment::ServingConfig};
use tidemill_engine::serve::ServedComponent;

use crate::{
    ComponentRunner, PROJECT_FILE, Project, RunningApp,
    app::read_predict,
    components::ComponentDigests,
    difference::{ComponentChange, describe},
    serving::{declare_models, start_exporter, stop_exporter},
    windows::LogWindows,
};

/// A configuration that was checked, for [`RunningApp::switch`].
pub struct CheckedProject {
    project: Project,
    runner: Arc<ComponentRunner>,
    components: ComponentDigests,
    /// The component that answers requests, if it is another one.
    predict: Option<(Digest, Arc<ServedComponent>)>,
    changes: Vec<String>,
}

impl CheckedProject {
    /// What differs from what runs, one sentence each. Empty: nothing does.
    pub fn changes(&self) -> &[String] {
        &self.changes
    }
}

impl RunningApp {
    /// Checks a configuration and compiles its components. What runs is not touched.
    ///
    /// # Errors
    /// `Config`, with the place, if it cannot take the place of the one that runs.
    pub async fn check(&self, project: Project) -> Result<CheckedProject> {
        let old = self.project();
        check_store(old, &project)?;
        let runner = Arc::new(ComponentRunner::new(project.clone(), self.parts.app.engine().clone()));
        let (checked, sql, before, after) = (
            project.clone(),
            self.parts.sql.clone(),
            self.parts.components.clone(),
            runner.clone(),
        );
        let checking = tokio::task::spawn_blocking(move || {
            checked.check_queries(&sql)?;
            let components = after.read_all();
            let changes = check_components(&before, &components, &after)?;
            Ok::<_, Error>((components, changes, read_predict(&checked)?))
        });
        let checked = checking
            .await
            .map_err(|e| Error::bug(format!("the check of the project ended: {e}")))?;
        let (components, mut changed, bytes) = checked?;
        let digest = Digest::sha256(&bytes);
        let mut predict = None;
        if digest != self.parts.serving.predict {
            let component = self.parts.serving.server.compile(bytes).await?;
            self.parts.app.warm_up(&project, &component).await;
            changed.push(ComponentChange {
                name: project.pipeline.predict_component.clone(),
                digest: Some(digest.clone()),
            });
            predict = Some((digest, component));
        }
        let changes = describe(old, &project, &self.models().await?, &changed);
        Ok(CheckedProject {
            project,
            runner,
            components,
            predict,
            changes,
        })
    }

    /// Serves another configuration. Waits for the stages that run; files that come meanwhile wait in the queue.
    ///
    /// # Errors
    /// What the store answers. The configuration before goes on then, or, if the store does not answer that either, no stage runs.
    pub async fn switch(&mut self, checked: CheckedProject) -> Result<()> {
        let CheckedProject {
            project,
            runner,
            components,
            predict,
            ..
        } = checked;
        let parts = &self.parts;
        let log = &parts.serving.log;
        let windows = parts.app.windows(log, &parts.settings);
        let setup = |project: &Project, runner: &Arc<ComponentRunner>, windows: &Arc<LogWindows>| {
            parts
                .app
                .flow_setup(project, runner, &parts.sql, windows, &parts.settings, &parts.places)
        };
        parts.windows.stop();
        parts.flow.stop().await?;
        // What was predicted so far is filed by the windows of its time. Where the store does not answer, it is by those of now.
        let _later = log.seal().await;
        log.set_models(ServingConfig::from_pipeline(&project.pipeline).models);
        let replaced = parts.flow.replace(setup(&project, &runner, &windows)).await;
        let flow = match replaced {
            Ok(flow) => flow,
            Err(error) => {
                let old = parts.app.project().clone();
                log.set_models(ServingConfig::from_pipeline(&old.pipeline).models);
                let flow = parts.flow.replace(setup(&old, &parts.runner, &windows)).await?;
                self.parts.windows = windows;
                self.serve_flow(&old, flow, None);
                return Err(error);
            }
        };
        self.parts.windows = windows;
        declare_models(&project);
        self.serve_flow(&project, flow, predict);
        let is_other_export = self.project().observe != project.observe;
        self.parts.runner = runner;
        self.parts.components = components;
        self.parts.app.set_project(project);
        self.compile_components();
        if is_other_export {
            stop_exporter(self.parts.exporter.take()).await;
            self.parts.exporter = start_exporter(self.project(), &self.parts.settings);
        }
        Ok(())
    }

    /// Answers requests over another flow, and by another component if there is one.
    fn serve_flow(&mut self, project: &Project, flow: tidemill_flow::Flow, predict: Option<(Digest, Arc<ServedComponent>)>) {
        let slot = FlowSlot::default();
        let _first = slot.set(flow.clone());
        let routes = self.parts.app.host_routes(project, slot);
        let component = match predict {
            Some((digest, component)) => {
                self.parts.serving.predict = digest;
                component
            }
            None => self.parts.serving.server.component(),
        };
        self.parts.serving.server.replace(component, Some(routes));
        self.set_flow(flow);
    }
}

/// The state stays where it is: elsewhere, another project would be served.
fn check_store(old: &Project, new: &Project) -> Result<()> {
    let place = |project: &Project| (project.location.clone(), project.settings.queue.clone());
    match place(old) == place(new) {
        true => Ok(()),
        false => Err(Error::config(format!(
            "{PROJECT_FILE}: [store] names another place (`{}` in the place of `{}`), which takes a restart: stop, and start again",
            new.location, old.location
        ))),
    }
}

/// Compiles the components that have other bytes than before, and returns them. One that was never there may be built later.
fn check_components(before: &ComponentDigests, now: &ComponentDigests, runner: &ComponentRunner) -> Result<Vec<ComponentChange>> {
    let mut changes = Vec::new();
    for (name, digest) in now {
        let (is_known, earlier) = (before.contains_key(name), before.get(name).and_then(Option::as_ref));
        if digest.as_ref() == earlier && is_known {
            continue;
        }
        match digest {
            Some(_) => drop(runner.compile(name)?),
            None if earlier.is_some() => {
                return Err(Error::config(format!(
                    "the component `{name}` is not there any more: build it, or correct `component` in {PROJECT_FILE}"
                )));
            }
            None => {}
        }
        // A stage that is new with its component is described as such.
        if is_known || digest.is_none() {
            changes.push(ComponentChange {
                name: name.clone(),
                digest: digest.clone(),
            });
        }
    }
    Ok(changes)
}
