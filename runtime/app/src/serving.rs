//! What answers predictions, the same in `tidemill up` and in `tidemill serve`: the HTTP server over the predict component, and the log of what it
//! answered.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tidemill_core::{Digest, Result, pipeline::deployment::ServingConfig};
use tidemill_engine::serve::{HostRoutes, Server};
use tidemill_observe::{Recorder, Sampler, otlp};
use tidemill_predictions::{DurableLog, LogOptions};
use tokio::net::TcpListener;

use crate::{
    App, Project, ServeSettings,
    app::{StartServer, read_predict},
    windows,
};

/// A server, and its log.
pub(crate) struct Serving {
    pub(crate) server: Server,
    /// The SHA-256 of the component that answers requests.
    pub(crate) predict: Digest,
    pub(crate) log: DurableLog,
}

impl Serving {
    /// Opens the log in its folder, starts to answer, and loads the champions. The server says that it is not ready until [`Server::set_ready`].
    ///
    /// # Errors
    /// `Config` if another process has the log open.
    pub(crate) async fn start(
        app: &App,
        listener: TcpListener,
        settings: &ServeSettings,
        folder: &Path,
        routes: HostRoutes,
    ) -> Result<Self> {
        let project = app.project();
        let log = DurableLog::open(
            folder,
            app.store().clone(),
            ServingConfig::from_pipeline(&project.pipeline).models,
            LogOptions::default(),
        )?;
        windows::read_closed(&log, app.store(), &project.pipeline).await;
        declare_models(project);
        let component = read_predict(project)?;
        let predict = Digest::sha256(&component);
        let start = StartServer {
            listener,
            component,
            log: log.clone(),
            settings,
            host_routes: Some(routes),
        };
        let server = app.start_server(start).await?;
        app.warm_up(project, &server.component()).await;
        Ok(Self { server, predict, log })
    }

    /// Says that it is not ready, answers the requests that were accepted, and stores what they predicted.
    ///
    /// # Errors
    /// `Transient` if the store does not take it: it stays in the log's folder, and the next start over that folder stores it.
    pub(crate) async fn stop(self) -> Result<()> {
        self.server.stop().await;
        self.log.seal().await
    }
}

/// Makes the models known to the metrics.
pub(crate) fn declare_models(project: &Project) {
    for model in project.pipeline.models.keys() {
        tidemill_observe::global().declare_model(model);
    }
}

/// Pushes metrics where the project says, if it says so.
pub(crate) fn start_exporter(project: &Project, settings: &ServeSettings) -> Option<otlp::Exporter> {
    let settings = settings.otlp(project)?;
    Some(otlp::Exporter::start(settings, tidemill_observe::global()))
}

/// Pushes the last metrics, and ends.
pub(crate) async fn stop_exporter(exporter: Option<otlp::Exporter>) {
    if let Some(exporter) = exporter {
        let _panicked = tokio::task::spawn_blocking(|| exporter.stop()).await;
    }
}

/// Sets the gauge that follows from the log's folder, and those of `more`.
pub(crate) fn start_sampler(log: PathBuf, more: impl Fn(&Recorder) + Send + Sync + 'static) -> Arc<Sampler> {
    let sampler: Arc<Sampler> = Arc::new(move |recorder: &Recorder| {
        recorder.set_unsealed_bytes(unsealed_bytes(&log));
        more(recorder);
    });
    tidemill_observe::global().register_sampler(&sampler);
    sampler
}

/// The size of the write-ahead files. Files that vanish meanwhile are sealed.
fn unsealed_bytes(log: &Path) -> u64 {
    let files = std::fs::read_dir(log).into_iter().flatten().filter_map(std::result::Result::ok);
    let wal = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "wal"));
    wal.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}
