//! The choice between ONNX Runtime and tract.

use std::sync::{Arc, OnceLock};

use tidemill_core::Result;

use crate::{Backend, Graph, NativeFirst, OnnxRuntime, Tract, find_onnxruntime};

/// Tract unless ONNX Runtime's library was asked for and found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackendChoice {
    /// Pure Rust, inside the process: the same results on every machine.
    #[default]
    Tract,
    /// The native library where there is one, else tract.
    OnnxRuntime,
}

/// The engine to use, with our own trainer's models in front of it.
pub fn open_backend(prefer: BackendChoice) -> Arc<dyn Backend> {
    match prefer {
        BackendChoice::Tract => Arc::new(NativeFirst::new(Arc::new(Tract))),
        BackendChoice::OnnxRuntime => Arc::new(NativeFirst::new(Arc::new(LazyNative::default()))),
    }
}

/// ONNX Runtime, looked for when the first model comes that needs it: looking costs tens of milliseconds, which most starts can do
/// without. A library that is there but cannot be opened is logged, and tract takes its place.
#[derive(Default)]
struct LazyNative(OnceLock<Arc<dyn Backend>>);

impl Backend for LazyNative {
    fn load(&self, model: &str, bytes: &[u8]) -> Result<Arc<dyn Graph>> {
        self.0.get_or_init(open_native).load(model, bytes)
    }
}

fn open_native() -> Arc<dyn Backend> {
    match find_onnxruntime().map(|path| OnnxRuntime::open(&path)) {
        Some(Ok(native)) => return Arc::new(native),
        Some(Err(error)) => tracing::warn!("ONNX Runtime is not used: {error}"),
        None => {}
    }
    Arc::new(Tract)
}
