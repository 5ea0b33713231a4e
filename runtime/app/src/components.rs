//! The components of a project as the flow's runner: each is read and compiled at its first run, then kept.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tidemill_core::{Decision, Digest, Error, Host as _, Outcome, Result, Trigger, pipeline::Node};
use tidemill_engine::{Engine, StageComponent};
use tidemill_host::{RunHost, Runner, Usage};
use tidemill_observe::Run;
use tidemill_run::AccessLog;

use crate::Project;

/// Runs the stages of a project as components.
pub struct ComponentRunner {
    project: Project,
    engine: Engine,
    loaded: Mutex<HashMap<String, Arc<LoadedComponent>>>,
}

struct LoadedComponent {
    bytes: Vec<u8>,
    digest: Digest,
    compiled: Mutex<Option<Arc<StageComponent>>>,
}

impl ComponentRunner {
    /// A runner that has read nothing yet.
    pub fn new(project: Project, engine: Engine) -> Self {
        Self {
            project,
            engine,
            loaded: Mutex::default(),
        }
    }

    fn load(&self, name: &str) -> Result<Arc<LoadedComponent>> {
        let mut loaded = self.loaded.lock();
        if let Some(found) = loaded.get(name) {
            return Ok(found.clone());
        }
        let path = self.project.component_path(name)?;
        let bytes = std::fs::read(&path).map_err(|e| Error::config(format!("`{}` cannot be read: {e}", path.display())))?;
        let fresh = Arc::new(LoadedComponent {
            digest: Digest::sha256(&bytes),
            bytes,
            compiled: Mutex::default(),
        });
        loaded.insert(name.to_owned(), fresh.clone());
        Ok(fresh)
    }

    fn compile(&self, name: &str) -> Result<Arc<StageComponent>> {
        let loaded = self.load(name)?;
        let mut slot = loaded.compiled.lock();
        if let Some(component) = slot.as_ref() {
            return Ok(component.clone());
        }
        let component = self
            .engine
            .component(&loaded.bytes)
            .map_err(|e| e.context(format!("component `{name}`")))?;
        Ok(slot.insert(Arc::new(component)).clone())
    }
}

/// The decision, or the kind of the error.
fn outcome_label(result: &Result<Outcome>) -> &'static str {
    match result {
        Ok(outcome) => match outcome.decision {
            Decision::Done => "done",
            Decision::Rejected => "rejected",
            Decision::Skipped => "skipped",
            Decision::Failed => "failed",
        },
        Err(error) => error.kind.as_str(),
    }
}

/// Reads the ONNX engine's component, which only models from elsewhere need.
pub(crate) fn read_onnx(project: &Project) -> Result<Vec<u8>> {
    let path = project
        .component_path("tidemill:onnx")
        .map_err(|e| e.context("a model from elsewhere is scored by the ONNX engine"))?;
    std::fs::read(&path).map_err(|e| Error::config(format!("`{}` cannot be read: {e}", path.display())))
}

impl Runner for ComponentRunner {
    fn run(&self, node: &Node, trigger: &Trigger, host: RunHost) -> (Result<Outcome>, AccessLog, Usage) {
        let run_key = host.context().run_key.clone();
        let (result, accesses, usage) = match self.compile(&node.component) {
            Ok(component) => component.run(trigger, &node.config.to_string(), host, &node.into()),
            Err(error) => (Err(error), host.finish(), Usage::default()),
        };
        tidemill_observe::global().record_run(&Run {
            stage: &node.stage,
            resource: &node.resource,
            run_key: &run_key,
            outcome: outcome_label(&result),
            duration: usage.duration,
            memory_bytes: usage.memory_bytes,
        });
        (result, accesses, usage)
    }
    fn component_digest(&self, node: &Node) -> Result<Digest> {
        Ok(self.load(&node.component)?.digest.clone())
    }
    fn component_bytes(&self, node: &Node) -> Result<Option<Vec<u8>>> {
        Ok(Some(self.load(&node.component)?.bytes.clone()))
    }
}
