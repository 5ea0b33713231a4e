//! ONNX models, with the machine's own library where there is one; all else is [`tidemill_nn`]'s.

mod onnxruntime;

use std::sync::Arc;

pub use onnxruntime::{OnnxRuntime, find_onnxruntime};
pub use tidemill_nn::{ElementType, Graph, Graphs, Nn, Tensor, Tract, Trained};

/// Tract unless ONNX Runtime's library was asked for and found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prefer {
    /// Pure Rust, inside the process: the same results on every machine.
    #[default]
    Tract,
    /// The native library where there is one, else tract.
    OnnxRuntime,
}

/// The engine to use, with our own trainer's models in front of it; a library that is there but cannot be opened is logged, and
/// tract takes its place.
pub fn backend(prefer: Prefer) -> Arc<dyn Nn> {
    if prefer == Prefer::OnnxRuntime
        && let Some(path) = find_onnxruntime()
    {
        match OnnxRuntime::open(&path) {
            Ok(native) => return Arc::new(Trained::before(Arc::new(native))),
            Err(error) => tracing::warn!("ONNX Runtime is not used: {error}"),
        }
    }
    Arc::new(Trained::before(Arc::new(Tract)))
}
