//! An open project, and what serving it takes.

use std::{sync::Arc, time::Duration};

use tidemill_api::{ApiState, FlowSlot};
use tidemill_control::Control;
use tidemill_core::{Error, ErrorKind, Result};
use tidemill_engine::{
    Engine, EngineOptions,
    serve::{HostRoutes, ServeOptions, ServedComponent, Server},
};
use tidemill_flow::{Flow, FlowOptions, FlowSetup};
use tidemill_host::SqlEngine;
use tidemill_nn::{BackendChoice, open_backend};
use tidemill_predictions::DurableLog;
use tidemill_store::{MessageQueue, Store};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    ComponentRunner, ModelState, Project, RunningApp, ServeSettings,
    champions::{list_models, sample_request},
    components::{ComponentDigests, read_onnx},
    limits::server_limits,
    places::StorePlaces,
    run_environment,
    running::Parts,
    serving::{Serving, start_exporter},
    windows::LogWindows,
};

/// How long a start waits for a champion to be loaded.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(20);

/// What a server is started with.
pub(crate) struct StartServer<'a> {
    pub(crate) listener: TcpListener,
    /// The predict component.
    pub(crate) component: Vec<u8>,
    pub(crate) log: DurableLog,
    pub(crate) settings: &'a ServeSettings,
    pub(crate) host_routes: Option<HostRoutes>,
}

/// An open project. Opening starts nothing, so that any number of processes may have one project open.
#[derive(Clone)]
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

    pub(crate) fn set_project(&mut self, project: Project) {
        self.project = project;
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Compiles and runs stages.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The models of the project, and what serves them.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn models(&self) -> Result<Vec<ModelState>> {
        list_models(&self.store, &self.project.pipeline).await
    }

    /// Starts the flow and the server, and returns when both answer and the champions are loaded. The components of the stages are compiled
    /// afterwards. Bind the listener before you open the app: see [`listen`](crate::listen).
    ///
    /// # Errors
    /// `Config` if another process serves the project.
    pub async fn serve(&self, listener: TcpListener, settings: ServeSettings) -> Result<RunningApp> {
        let project = &self.project;
        let queue = project.settings.queue.as_deref().map(MessageQueue::open).transpose()?.map(Arc::new);
        let lock = self.store.lock()?;
        let places = StorePlaces::find(project, &self.store)?;
        self.check_conditional_writes().await?;
        let slot = FlowSlot::default();
        // Before the flow: a request while it starts gets 503 and not a refused connection.
        let serving = Serving::start(self, listener, &settings, &places.log, self.host_routes(project, slot.clone())).await?;
        let sql = project.sql_engine(None)?;
        let runner = Arc::new(ComponentRunner::new(project.clone(), self.engine.clone()));
        let components = read_components(&runner).await?;
        let windows = self.windows(&serving.log, &settings);
        let flow = Flow::start(self.flow_setup(project, &runner, &sql, &windows, &settings, &places)).await?;
        let _first = slot.set(flow.clone());
        serving.server.set_ready();
        RunningApp::new(Parts {
            follower: queue.clone().map(|queue| follow(flow.clone(), queue)),
            exporter: start_exporter(project, &settings),
            app: self.clone(),
            settings,
            serving,
            flow,
            windows,
            sql,
            runner,
            components,
            queue,
            places,
            _lock: lock,
        })
    }

    /// Refuses a store whose conditional writes do not hold. One that cannot be tried now, or not with these rights, is not refused.
    async fn check_conditional_writes(&self) -> Result<()> {
        match self.store.check_conditional_writes().await {
            Err(error) if error.kind == ErrorKind::Config => Err(error),
            Err(error) => {
                tracing::warn!("the store's conditional writes were not tried: {error}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Starts to answer by a component. The server says that it is not ready until [`Server::set_ready`].
    pub(crate) async fn start_server(&self, start: StartServer<'_>) -> Result<Server> {
        let (limits, http) = server_limits(&self.project.serve, start.settings)?;
        Server::start(ServeOptions {
            cache_dir: self.project.compile_cache_dir(),
            component: start.component,
            store: self.store.clone(),
            log: start.log,
            nn: open_backend(BackendChoice::OnnxRuntime),
            listener: start.listener,
            hosts: start.settings.hosts(&self.project),
            limits,
            http,
            host_routes: start.host_routes,
        })
        .await
    }

    /// Has a component load and run the champions, so that the first requests don't wait for that. A champion that cannot be served is
    /// logged: its requests are answered with the reason.
    pub(crate) async fn warm_up(&self, project: &Project, component: &ServedComponent) {
        let models = list_models(&self.store, &project.pipeline).await.unwrap_or_default();
        for model in models {
            let Some(version) = model.champion else { continue };
            let warming = async {
                match sample_request(&self.store, &model.name, version).await? {
                    Some((path, body)) => component.warm_up(&path, &body.into()).await,
                    None => Ok(()),
                }
            };
            let warmed = tokio::time::timeout(WARM_UP_TIMEOUT, warming).await;
            let warmed = warmed.unwrap_or_else(|_| Err(Error::transient(format!("loading took longer than {WARM_UP_TIMEOUT:?}"))));
            if let Err(error) = warmed {
                tracing::warn!("the champion of `{}`, version {version}, is not loaded: {error}", model.name);
            }
        }
    }

    /// The API's routes over a project and its flow.
    pub(crate) fn host_routes(&self, project: &Project, flow: FlowSlot) -> HostRoutes {
        answer_by(tidemill_api::router(ApiState {
            pipeline: project.pipeline.clone(),
            control: Control::new(self.store.clone(), project.pipeline.clone()),
            flow,
        }))
    }

    /// The API's routes of a server that answers predictions alone.
    pub(crate) fn prediction_routes(&self) -> HostRoutes {
        answer_by(tidemill_api::prediction_router())
    }

    /// The windows of a log, for a flow that begins.
    pub(crate) fn windows(&self, log: &DurableLog, settings: &ServeSettings) -> Arc<LogWindows> {
        Arc::new(LogWindows::new(log.clone(), self.store.clone(), settings.window_delay))
    }

    pub(crate) fn flow_setup(
        &self,
        project: &Project,
        runner: &Arc<ComponentRunner>,
        sql: &SqlEngine,
        windows: &Arc<LogWindows>,
        settings: &ServeSettings,
        places: &StorePlaces,
    ) -> FlowSetup {
        FlowSetup {
            pipeline: project.pipeline.clone(),
            store: self.store.clone(),
            sql: sql.clone(),
            runner: runner.clone(),
            windows: windows.clone(),
            options: FlowOptions {
                poll_interval: settings.poll_interval(project, &self.store),
                queue_path: Some(places.queue.clone()),
                environment: run_environment(),
                ..FlowOptions::default()
            },
        }
    }
}

async fn read_components(runner: &Arc<ComponentRunner>) -> Result<ComponentDigests> {
    let runner = runner.clone();
    let read = tokio::task::spawn_blocking(move || runner.read_all()).await;
    read.map_err(|e| Error::bug(format!("reading the components failed: {e}")))
}

/// The host's routes, answered by a router.
fn answer_by(router: tidemill_api::Router) -> HostRoutes {
    HostRoutes {
        matches: Arc::new(|_, path| tidemill_api::is_host_path(path)),
        handle: Arc::new(move |request| Box::pin(tidemill_api::respond(router.clone(), request))),
    }
}

/// Takes in a bucket's notifications until the task is aborted.
pub(crate) fn follow(flow: Flow, queue: Arc<MessageQueue>) -> JoinHandle<()> {
    tokio::spawn(async move { flow.consume(&queue).await })
}

/// The bytes of the component that answers requests.
pub(crate) fn read_predict(project: &Project) -> Result<Vec<u8>> {
    project.read_component(&project.pipeline.predict_component)
}
