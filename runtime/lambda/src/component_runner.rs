//! Any stage's component: for stages in other languages, and for those whose native arithmetic is not the component's to the bit, such as
//! training with another platform's libm.
//!
//! `component` of the node's settings names a file of the package, or `components/<digest>` in the store. A folder `compiled` beside the
//! program may hold it compiled ahead of time (as the engine's cache does, for the same engine and processor); else it is compiled at the
//! cold start, into `/tmp`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tidemill_core::{
    Digest, Error, ErrorKind, Outcome, Result, Trigger,
    pipeline::{Node, NodeSettings},
};
use tidemill_engine::{Engine, EngineOptions, OnnxSource, StageComponent};
use tidemill_host::{RunHost, Runner, Usage};
use tidemill_run::AccessLog;
use tidemill_store::Store;
use tokio::runtime::Handle;

use crate::{ComponentSource, run_with};

/// Serves a stage as its component until Lambda ends the process.
pub fn run_component() {
    run_with(|environment, store, handle| Ok(Arc::new(ComponentRunner::open(&environment.node, store, handle, &compiled_dir())?)));
}

/// Runs one component.
pub struct ComponentRunner {
    component: StageComponent,
    /// The component of the package, which is not in the store yet.
    bytes: Option<Vec<u8>>,
}

impl ComponentRunner {
    /// Opens the component that the node's settings name; `compiled` is the folder of compiled components. Blocks on `handle`.
    ///
    /// # Errors
    /// `Config` if none is named or found, `Input` if it is not a component.
    pub fn open(node: &NodeSettings, store: &Store, handle: &Handle, compiled: &Path) -> Result<Self> {
        let name = node.component.as_deref().ok_or_else(|| {
            Error::config(format!(
                "`TIDEMILL_CONFIG` names no `component` for stage `{}`: give `components/<digest>` of the store, or a path in the package",
                node.stage
            ))
        })?;
        let source = ComponentSource::from_name(name);
        let engine = Engine::new(EngineOptions {
            cache_dir: compiled.to_owned(),
            onnx: Some(onnx_source(&source)),
        })?;
        let compile = |bytes: &[u8]| engine.component(bytes).map_err(|e| e.context(format!("component `{name}`")));
        match source {
            ComponentSource::File(path) => {
                let bytes = ComponentSource::read(&path)?;
                Ok(Self {
                    component: compile(&bytes)?,
                    bytes: Some(bytes),
                })
            }
            ComponentSource::Stored(digest) => {
                let bytes = handle.block_on(store.get(name)).map_err(|e| missing_component(e, name))?;
                if Digest::sha256(&bytes) != digest {
                    return Err(Error::input(format!(
                        "the content of `{name}` has another digest than its name: deploy it again"
                    )));
                }
                Ok(Self {
                    component: compile(&bytes)?,
                    bytes: None,
                })
            }
        }
    }
}

/// Reads the ONNX engine's component, which the package brings beside the stage's own: only models from elsewhere need it.
fn onnx_source(component: &ComponentSource) -> OnnxSource {
    let folder = match component {
        ComponentSource::File(path) => path.parent().map(Path::to_owned),
        ComponentSource::Stored(_) => std::env::var_os("TIDEMILL_COMPONENTS").map(PathBuf::from),
    };
    let path = folder.unwrap_or_default().join("tidemill_onnx.wasm");
    Arc::new(move || {
        std::fs::read(&path).map_err(|e| {
            Error::config(format!(
                "a model from elsewhere is scored by the ONNX engine, and `{}` cannot be read: {e}; put it into the package",
                path.display()
            ))
        })
    })
}

/// The folder of compiled components: beside the program if the package has it, else in `/tmp`.
fn compiled_dir() -> PathBuf {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.join("compiled")));
    let beside = beside.filter(|folder| folder.is_dir());
    beside.unwrap_or_else(|| std::env::temp_dir().join("tidemill-compiled"))
}

fn missing_component(error: Error, name: &str) -> Error {
    match error.kind {
        ErrorKind::NotFound => Error::config(format!("`{name}` is not in the store: put the stage's component there")),
        _ => error,
    }
}

impl Runner for ComponentRunner {
    fn run(&self, node: &Node, trigger: &Trigger, host: RunHost) -> (Result<Outcome>, AccessLog, Usage) {
        self.component.run(trigger, &node.config.to_string(), host, &node.into())
    }

    fn component_digest(&self, _: &Node) -> Result<Digest> {
        Ok(self.component.digest().clone())
    }

    fn component_bytes(&self, _: &Node) -> Result<Option<Vec<u8>>> {
        Ok(self.bytes.clone())
    }
}
