//! What a run may use, and what it used.

use std::time::Duration;

/// Limits of a run.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Wall-clock time.
    pub timeout: Duration,
    /// Linear memory, of the stage and of the ONNX engine beside it.
    pub memory_bytes: u64,
}

/// Resources that a run used.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// Greatest linear memory.
    pub memory_bytes: u64,
    /// Time from before the instance was created to the stage's outcome.
    pub duration: Duration,
}
