//! The components of a project as the flow's runner: each is read and compiled at its first run or before, then kept.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tidemill_core::{Decision, Digest, Finding, Host as _, Outcome, Result, Severity, Trigger, pipeline::Node};
use tidemill_engine::{Engine, StageComponent};
use tidemill_host::{RunHost, Runner, Usage};
use tidemill_observe::Run;
use tidemill_run::AccessLog;

use crate::Project;

/// The components of a project by name, as they were last read; `None` for one that was not there.
pub(crate) type ComponentDigests = BTreeMap<String, Option<Digest>>;

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
        let bytes = self.project.read_component(name)?;
        let fresh = Arc::new(LoadedComponent {
            digest: Digest::sha256(&bytes),
            bytes,
            compiled: Mutex::default(),
        });
        loaded.insert(name.to_owned(), fresh.clone());
        Ok(fresh)
    }

    /// The components of all stages, each once, in the pipeline's order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let nodes = self.project.pipeline.nodes.iter().map(|node| &node.component);
        nodes.filter(|name| seen.insert(name.as_str())).cloned().collect()
    }

    /// Reads all components that are there, and returns the SHA-256 of each; `None` for one that cannot be read.
    pub(crate) fn read_all(&self) -> ComponentDigests {
        let digest = |name: String| {
            let digest = self.digest(&name).ok();
            (name, digest)
        };
        self.names().into_iter().map(digest).collect()
    }

    /// The SHA-256 of a component's bytes, which are read now if they were not yet.
    pub(crate) fn digest(&self, name: &str) -> Result<Digest> {
        Ok(self.load(name)?.digest.clone())
    }

    /// Compiles the components that were read, one after the other, until `cancelled`. One that fails is left to its first run, which says
    /// why; one that was not there may be built until then.
    pub(crate) fn compile_all(&self, cancelled: &AtomicBool) {
        for name in self.names() {
            if cancelled.load(Relaxed) {
                return;
            }
            if self.loaded.lock().contains_key(&name) {
                let _left = self.compile(&name);
            }
        }
    }

    pub(crate) fn compile(&self, name: &str) -> Result<Arc<StageComponent>> {
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

/// The first finding that cost something: rows, or the whole input.
fn first_finding(outcome: &Outcome) -> Option<&str> {
    let is_error = |finding: &&Finding| finding.severity == Severity::Error;
    outcome.findings.iter().find(is_error).map(|finding| finding.message.as_str())
}

/// Reads the ONNX engine's component, which only models from elsewhere need.
pub(crate) fn read_onnx(project: &Project) -> Result<Vec<u8>> {
    project
        .read_component("tidemill:onnx")
        .map_err(|e| e.context("a model from elsewhere is scored by the ONNX engine"))
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
            trigger: &trigger.key,
            outcome: outcome_label(&result),
            reason: match &result {
                Ok(outcome) => &outcome.reason,
                Err(error) => &error.message,
            },
            finding: result.as_ref().ok().and_then(first_finding),
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
