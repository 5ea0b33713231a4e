//! How a flow is set up.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tidemill_core::pipeline::Pipeline;
use tidemill_host::{Runner, SqlEngine};
use tidemill_run::WindowSource;
use tidemill_store::Store;
use tidemill_worker::ProgressCallback;

/// Options of a flow.
#[derive(Clone)]
pub struct FlowOptions {
    /// Between two listings of the prefixes in which objects appear.
    pub poll_interval: Duration,
    /// The queue's file; `None` keeps the queue in memory.
    pub queue_path: Option<PathBuf>,
    /// Most concurrent runs, over all stages.
    pub concurrency: usize,
    /// Whether a local store is watched (else only listed).
    pub watch: bool,
    /// Goes into run records: machine, version.
    pub environment: BTreeMap<String, String>,
    /// Called while stages run.
    pub progress: Option<ProgressCallback>,
}

impl Default for FlowOptions {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(5),
            queue_path: None,
            concurrency: std::thread::available_parallelism().map_or(2, usize::from),
            watch: true,
            environment: BTreeMap::new(),
            progress: None,
        }
    }
}

/// What a flow is made of.
pub struct FlowSetup {
    /// The checked project.
    pub pipeline: Arc<Pipeline>,
    /// The state.
    pub store: Store,
    /// Runs the queries of stages.
    pub sql: SqlEngine,
    /// Runs stages.
    pub runner: Arc<dyn Runner>,
    /// The prediction log.
    pub windows: Arc<dyn WindowSource>,
    /// Options.
    pub options: FlowOptions,
}
