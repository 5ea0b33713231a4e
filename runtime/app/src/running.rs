//! A served project, and its end.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tidemill_core::{Error, Result};
use tidemill_engine::ServerHandle;
use tidemill_flow::Flow;
use tidemill_observe::{Recorder, Sampler, otlp};
use tidemill_predictions::DurableLog;
use tokio::task::JoinHandle;

use crate::Project;

/// What a served project consists of.
pub(crate) struct Parts {
    pub(crate) project: Project,
    pub(crate) server: ServerHandle,
    pub(crate) flow: Flow,
    pub(crate) log: DurableLog,
    pub(crate) follower: Option<JoinHandle<()>>,
    pub(crate) exporter: Option<otlp::Exporter>,
}

/// A project that is being served. [`shutdown`](Self::shutdown) it: dropping it leaves its tasks running until the runtime ends.
pub struct RunningApp {
    parts: Parts,
    address_file: PathBuf,
    _sampler: Arc<Sampler>,
}

impl RunningApp {
    /// Writes the address where commands find it.
    pub(crate) fn new(parts: Parts) -> Result<Self> {
        let address_file = parts.project.state_path("address");
        std::fs::write(&address_file, format!("http://{}", parts.server.addr()))
            .map_err(|e| Error::config(format!("cannot write `{}`: {e}", address_file.display())))?;
        let sampler = sampler(parts.flow.clone(), parts.project.state_path("log"));
        tidemill_observe::global().register_sampler(&sampler);
        Ok(Self {
            parts,
            address_file,
            _sampler: sampler,
        })
    }

    /// The server's URL, `http://<address>:<port>`.
    pub fn address(&self) -> String {
        format!("http://{}", self.parts.server.addr())
    }

    /// The running flow.
    pub fn flow(&self) -> &Flow {
        &self.parts.flow
    }

    /// Accepts no more requests, lets accepted requests and running stages finish, and seals the prediction log.
    ///
    /// # Errors
    /// `Transient` if the log cannot be sealed: the next start seals it.
    pub async fn shutdown(self) -> Result<()> {
        let parts = self.parts;
        let _removed = std::fs::remove_file(&self.address_file);
        if let Some(follower) = parts.follower {
            follower.abort();
        }
        parts.server.stop().await;
        parts.flow.stop().await?;
        parts.log.seal().await?;
        if let Some(exporter) = parts.exporter {
            let _panicked = tokio::task::spawn_blocking(|| exporter.stop()).await;
        }
        Ok(())
    }
}

/// Sets the gauges that follow from the queue and the log's folder.
fn sampler(flow: Flow, log: PathBuf) -> Arc<Sampler> {
    Arc::new(move |recorder: &Recorder| {
        let items = flow.items();
        let running = items.iter().filter(|(_, running)| *running).count();
        let held = items.iter().filter(|(item, _)| item.held).count();
        recorder.set_queue_depth("running", running);
        recorder.set_queue_depth("held", held);
        recorder.set_queue_depth("queued", items.len() - running - held);
        recorder.set_unsealed_bytes(unsealed_bytes(&log));
    })
}

/// The size of the write-ahead files. Files that vanish meanwhile are sealed.
fn unsealed_bytes(log: &Path) -> u64 {
    let files = std::fs::read_dir(log).into_iter().flatten().filter_map(Result::ok);
    let wal = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "wal"));
    wal.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}
