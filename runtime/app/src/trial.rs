//! A server of predictions alone, for one person's trial: it logs nothing, and is gone with its process.

use std::collections::BTreeMap;

use tempfile::TempDir;
use tidemill_core::{Error, Result};
use tidemill_engine::serve::Server;
use tidemill_predictions::{DurableLog, LogOptions};
use tidemill_store::Store;

use crate::{
    App, ServeSettings,
    app::{StartServer, read_predict},
    listen,
};

/// Serves the predict component on a free local port. Predictions go to a log that is dropped.
pub struct TrialServer {
    server: Server,
    _log_folder: TempDir,
}

impl TrialServer {
    /// Compiles the predict component and starts to answer.
    ///
    /// # Errors
    /// `Config` if the component cannot be read, `Input` if it cannot be served.
    pub async fn start(app: &App) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(|e| Error::transient(format!("there is no room for temporary files: {e}")))?;
        let log = DurableLog::open(folder.path(), Store::memory(), BTreeMap::new(), LogOptions::default())?;
        let start = StartServer {
            listener: listen("127.0.0.1:0").await?,
            component: read_predict(app.project())?,
            log,
            settings: &ServeSettings::default(),
            host_routes: None,
        };
        let server = app.start_server(start).await?;
        server.set_ready();
        Ok(Self {
            server,
            _log_folder: folder,
        })
    }

    /// The server's URL.
    pub fn address(&self) -> String {
        format!("http://{}", self.server.addr())
    }

    /// Answers the accepted requests and ends.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}
