//! An open project, and what serving it takes.

use std::sync::Arc;

use tidemill_api::{ApiState, FlowSlot};
use tidemill_control::Control;
use tidemill_core::{Error, Result, pipeline::deployment::ServingConfig};
use tidemill_engine::{
    Engine, EngineOptions, ServerHandle,
    serve::{HostRoutes, ServeLimits, ServeOptions, Server},
};
use tidemill_flow::{Flow, FlowOptions, FlowSetup};
use tidemill_nn::{BackendChoice, open_backend};
use tidemill_observe::otlp;
use tidemill_predictions::{DurableLog, LogOptions};
use tidemill_store::{MessageQueue, Store};
use tokio::net::TcpListener;

use crate::{ComponentRunner, Project, RunningApp, ServeSettings, components::read_onnx, run_environment, running::Parts, windows};

/// An open project. Opening starts nothing, so that any number of processes may have one project open.
pub struct App {
    project: Project,
    store: Store,
    engine: Engine,
}

impl App {
    /// Opens the project's store and the engine of its stages.
    ///
    /// # Errors
    /// `Config` if the store's location cannot work, `Transient` if it doesn't answer.
    pub fn open(project: Project) -> Result<Self> {
        let components = project.clone();
        let engine = Engine::new(EngineOptions {
            cache_dir: project.compile_cache_dir(),
            onnx: Some(Arc::new(move || read_onnx(&components))),
        })?;
        Ok(Self {
            store: project.open_store()?,
            engine,
            project,
        })
    }

    /// The project.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Compiles and runs stages.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Starts the flow and the server, and returns when both answer. Bind the listener before you open the app: see
    /// [`listen`](crate::listen).
    ///
    /// # Errors
    /// `Config` if another process serves the project.
    pub async fn serve(&self, listener: TcpListener, settings: ServeSettings) -> Result<RunningApp> {
        let project = &self.project;
        let queue = project.settings.queue.as_deref().map(MessageQueue::open).transpose()?;
        let log = DurableLog::open(
            &project.state_path("log"),
            self.store.clone(),
            ServingConfig::from_pipeline(&project.pipeline).models,
            LogOptions::default(),
        )?;
        for model in project.pipeline.models.keys() {
            tidemill_observe::global().declare_model(model);
        }
        let slot = FlowSlot::default();
        let state = ApiState {
            pipeline: project.pipeline.clone(),
            control: Control::new(self.store.clone(), project.pipeline.clone()),
            flow: slot.clone(),
        };
        // Before the flow: a request while it starts gets 503 and not a refused connection.
        let server = self.serve_predictions(listener, log.clone(), Some(host_routes(state))).await?;
        let flow = self.start_flow(&log, &settings).await?;
        let _first = slot.set(flow.clone());
        let follower = queue.map(|queue| {
            let flow = flow.clone();
            tokio::spawn(async move { flow.consume(&queue).await })
        });
        let exporter = settings
            .otlp(project)
            .map(|settings| otlp::Exporter::start(settings, tidemill_observe::global()));
        RunningApp::new(Parts {
            project: project.clone(),
            server,
            flow,
            log,
            follower,
            exporter,
        })
    }

    /// Serves the predict component, and the host's routes if there are any.
    pub(crate) async fn serve_predictions(
        &self,
        listener: TcpListener,
        log: DurableLog,
        host_routes: Option<HostRoutes>,
    ) -> Result<ServerHandle> {
        let path = self.project.component_path(&self.project.pipeline.predict_component)?;
        let component = std::fs::read(&path).map_err(|e| Error::config(format!("`{}` cannot be read: {e}", path.display())))?;
        Server::start(ServeOptions {
            cache_dir: self.project.compile_cache_dir(),
            component,
            store: self.store.clone(),
            log,
            nn: open_backend(BackendChoice::OnnxRuntime),
            listener,
            limits: ServeLimits::default(),
            host_routes,
        })
        .await
    }

    async fn start_flow(&self, log: &DurableLog, settings: &ServeSettings) -> Result<Flow> {
        let project = &self.project;
        Flow::start(FlowSetup {
            pipeline: project.pipeline.clone(),
            store: self.store.clone(),
            sql: project.sql_engine(None)?,
            runner: Arc::new(ComponentRunner::new(project.clone(), self.engine.clone())),
            windows: Arc::new(windows::LogWindows::new(log.clone(), self.store.clone())),
            options: FlowOptions {
                poll_interval: settings.poll_interval(project, &self.store),
                queue_path: Some(project.queue_file()),
                environment: run_environment(),
                ..FlowOptions::default()
            },
        })
        .await
    }
}

/// The API's router as routes of the engine's server.
fn host_routes(state: ApiState) -> HostRoutes {
    let router = tidemill_api::router(state);
    HostRoutes {
        matches: Arc::new(|_, path| tidemill_api::is_host_path(path)),
        handle: Arc::new(move |request| Box::pin(tidemill_api::respond(router.clone(), request))),
    }
}
