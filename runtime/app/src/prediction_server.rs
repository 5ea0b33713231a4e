//! A server that answers predictions alone: any number of them stand beside one `tidemill up` over the same store, each with a log of its own.
//!
//! It runs no stage and watches nothing. A champion that moves is noticed with the next request, as in `tidemill up`; another configuration takes
//! a restart.

use std::sync::Arc;

use tidemill_core::Result;
use tidemill_observe::{Sampler, otlp};
use tokio::net::TcpListener;

use crate::{
    App, Project, ServeSettings,
    places::StorePlaces,
    serving::{Serving, start_exporter, start_sampler, stop_exporter},
};

/// A running server. [`shutdown`](Self::shutdown) it: dropping it leaves its tasks running until the runtime ends.
pub struct PredictionServer {
    project: Project,
    serving: Serving,
    exporter: Option<otlp::Exporter>,
    _sampler: Arc<Sampler>,
}

impl App {
    /// Starts a server of predictions, and returns when it has loaded the champions and says that it is ready. The folder of its log,
    /// [`Project::state`], is its own. Bind the listener before you open the app: see [`listen`](crate::listen).
    ///
    /// # Errors
    /// `Config` if another process has the log open, `Transient` if the store does not answer.
    pub async fn serve_predictions(&self, listener: TcpListener, settings: &ServeSettings) -> Result<PredictionServer> {
        // A server that could read no model would be ready to refuse.
        self.models().await?;
        let log = StorePlaces::find(self.project(), self.store())?.log;
        let serving = Serving::start(self, listener, settings, &log, self.prediction_routes()).await?;
        serving.server.set_ready();
        Ok(PredictionServer {
            exporter: start_exporter(self.project(), settings),
            _sampler: start_sampler(log, |_| {}),
            project: self.project().clone(),
            serving,
        })
    }
}

impl PredictionServer {
    /// The server's URL, `http://<address>:<port>`.
    pub fn address(&self) -> String {
        format!("http://{}", self.serving.server.addr())
    }

    /// The project that is served.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Says that it is not ready, answers the requests that were accepted, and stores what they predicted.
    ///
    /// # Errors
    /// `Transient` if the store does not take it: it stays in the log's folder, and the next start over that folder stores it.
    pub async fn shutdown(self) -> Result<()> {
        let stored = self.serving.stop().await;
        stop_exporter(self.exporter).await;
        stored
    }
}
