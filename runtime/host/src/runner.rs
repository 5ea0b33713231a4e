//! Runs stages: the engine does so with components, Lambda natively, tests in plain Rust. A worker knows nothing else of them.

use std::time::Duration;

use tidemill_core::{Digest, Outcome, Result, Trigger, pipeline::Node};
use tidemill_run::AccessLog;

use crate::RunHost;

/// The resources that a run used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Greatest linear memory, in bytes; 0 for a native stage.
    pub memory_bytes: u64,
    /// Wall-clock time inside the stage.
    pub duration: Duration,
}

/// Runs stages. Called on a thread that may block, several calls concurrently.
pub trait Runner: Send + Sync + 'static {
    /// Runs a stage once, within the node's timeout and memory. The access log is that of `host`.
    fn run(&self, node: &Node, trigger: &Trigger, host: RunHost) -> (Result<Outcome>, AccessLog, Usage);

    /// The digest of the node's component: part of its run keys.
    fn component_digest(&self, node: &Node) -> Result<Digest>;

    /// The component, stored as `components/<digest>` so that a run can be replayed; `None` where there is no such file.
    fn component_bytes(&self, _node: &Node) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
}
