//! A served project, and its end.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tidemill_core::{Error, Result};
use tidemill_flow::Flow;
use tidemill_host::SqlEngine;
use tidemill_observe::{Recorder, Sampler, otlp};
use tidemill_store::{MessageQueue, StoreLock};
use tokio::task::JoinHandle;

use crate::{
    App, ComponentRunner, ModelState, Project, ServeSettings,
    app::follow,
    components::ComponentDigests,
    places::StorePlaces,
    serving::{Serving, start_sampler, stop_exporter},
    windows::LogWindows,
};

/// What a served project consists of.
pub(crate) struct Parts {
    pub(crate) app: App,
    pub(crate) settings: ServeSettings,
    pub(crate) serving: Serving,
    pub(crate) flow: Flow,
    /// The windows of the flow.
    pub(crate) windows: Arc<LogWindows>,
    pub(crate) sql: SqlEngine,
    pub(crate) runner: Arc<ComponentRunner>,
    /// The components as this configuration found them.
    pub(crate) components: ComponentDigests,
    pub(crate) queue: Option<Arc<MessageQueue>>,
    /// Where the log and the queue are.
    pub(crate) places: StorePlaces,
    /// Held as long as it is served.
    pub(crate) _lock: Option<StoreLock>,
    pub(crate) follower: Option<JoinHandle<()>>,
    pub(crate) exporter: Option<otlp::Exporter>,
}

/// A project that is being served. [`shutdown`](Self::shutdown) it: dropping it leaves its tasks running until the runtime ends.
pub struct RunningApp {
    pub(crate) parts: Parts,
    address_file: PathBuf,
    sampler: Arc<Sampler>,
    /// Set to end the compilation of components early.
    cancelled: Arc<AtomicBool>,
}

impl RunningApp {
    /// Writes the address where commands find it.
    pub(crate) fn new(parts: Parts) -> Result<Self> {
        let address_file = parts.app.project().state_path("address");
        std::fs::write(&address_file, format!("http://{}", parts.serving.server.addr()))
            .map_err(|e| Error::config(format!("cannot write `{}`: {e}", address_file.display())))?;
        let app = Self {
            sampler: sample(parts.places.log.clone(), parts.flow.clone()),
            parts,
            address_file,
            cancelled: Arc::default(),
        };
        app.compile_components();
        Ok(app)
    }

    /// Compiles the components of the stages beside what runs, so that the first event of a stage does not wait for that.
    pub(crate) fn compile_components(&self) {
        let (runner, cancelled) = (self.parts.runner.clone(), self.cancelled.clone());
        drop(tokio::task::spawn_blocking(move || runner.compile_all(&cancelled)));
    }

    /// Takes the place of the flow before: in the metrics, and where a bucket's notifications go.
    pub(crate) fn set_flow(&mut self, flow: Flow) {
        self.sampler = sample(self.parts.places.log.clone(), flow.clone());
        let parts = &mut self.parts;
        if let Some(follower) = parts.follower.take() {
            follower.abort();
        }
        parts.follower = parts.queue.clone().map(|queue| follow(flow.clone(), queue));
        parts.flow = flow;
    }

    /// The server's URL, `http://<address>:<port>`.
    pub fn address(&self) -> String {
        format!("http://{}", self.parts.serving.server.addr())
    }

    /// The project that is served.
    pub fn project(&self) -> &Project {
        self.parts.app.project()
    }

    /// The models of the project, and what serves them.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn models(&self) -> Result<Vec<ModelState>> {
        self.parts.app.models().await
    }

    /// The running flow.
    pub fn flow(&self) -> &Flow {
        &self.parts.flow
    }

    /// Accepts no more requests, answers those that were accepted, seals the prediction log, and lets running stages finish.
    ///
    /// # Errors
    /// `Transient` if the log cannot be sealed: the next start seals it.
    pub async fn shutdown(self) -> Result<()> {
        let parts = self.parts;
        self.cancelled.store(true, Relaxed);
        let _removed = std::fs::remove_file(&self.address_file);
        if let Some(follower) = parts.follower {
            follower.abort();
        }
        // Before the stages: a process that waits for an hour of training may be killed before that ends.
        let sealed = parts.serving.stop().await;
        parts.windows.stop();
        parts.flow.stop().await?;
        stop_exporter(parts.exporter).await;
        sealed
    }
}

/// Sets the gauges that follow from the queue and the log's folder.
fn sample(log: PathBuf, flow: Flow) -> Arc<Sampler> {
    start_sampler(log, move |recorder: &Recorder| {
        let items = flow.items();
        let running = items.iter().filter(|(_, running)| *running).count();
        let held = items.iter().filter(|(item, _)| item.held).count();
        recorder.set_queue_depth("running", running);
        recorder.set_queue_depth("held", held);
        recorder.set_queue_depth("queued", items.len() - running - held);
    })
}
