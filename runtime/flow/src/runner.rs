//! Who runs a stage: the engine in production, plain Rust in tests. The flow knows only this.

use std::time::Duration;

use tidemill_core::{Digest, Outcome, Result, Trigger, pipeline::Node};
use tidemill_host::{AccessLog, RunHost};

/// What a run cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Greatest linear memory, in bytes.
    pub memory_bytes: u64,
    /// Wall-clock time inside the stage.
    pub duration: Duration,
}

/// Runs stages. Called on a thread that may block, several at once.
pub trait Runner: Send + Sync + 'static {
    /// Runs one stage once, within the node's timeout and memory, and gives back what the host recorded.
    fn run(&self, node: &Node, trigger: &Trigger, host: RunHost) -> (Result<Outcome>, AccessLog, Usage);

    /// The digest of the node's component: part of its run keys.
    fn component_digest(&self, node: &Node) -> Result<Digest>;

    /// The component itself, kept as `components/<digest>` so that a run can be replayed; `None` where there is no such file.
    fn component_bytes(&self, _node: &Node) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
}
