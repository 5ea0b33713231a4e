//! The engine as the flow's runner: a node's component is read and compiled at its first run, then kept.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tidemill_core::{Digest, Error, Outcome, Result, Trigger, pipeline::Node};
use tidemill_engine::{Engine, EngineOptions, Limits, StageComponent};
use tidemill_host::{AccessLog, RunHost};
use tidemill_host::{Runner, Usage};

use crate::project::Project;

struct LoadedComponent {
    bytes: Vec<u8>,
    digest: Digest,
    component: Mutex<Option<Arc<StageComponent>>>,
}

/// Runs stages as components.
pub(crate) struct EngineRunner {
    project: Project,
    engine: Engine,
    loaded: Mutex<HashMap<String, Arc<LoadedComponent>>>,
}

impl EngineRunner {
    /// A runner for a project; nothing is compiled yet.
    pub(crate) fn new(project: &Project) -> Result<Self> {
        Ok(Self {
            engine: open_engine(project)?,
            project: project.clone(),
            loaded: Mutex::default(),
        })
    }

    fn load(&self, name: &str) -> Result<Arc<LoadedComponent>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = loaded.get(name) {
            return Ok(found.clone());
        }
        let path = self.project.component_path(name)?;
        let bytes = std::fs::read(&path).map_err(|e| Error::config(format!("`{}` cannot be read: {e}", path.display())))?;
        let fresh = Arc::new(LoadedComponent {
            digest: Digest::sha256(&bytes),
            bytes,
            component: Mutex::default(),
        });
        loaded.insert(name.to_owned(), fresh.clone());
        Ok(fresh)
    }

    fn compile(&self, name: &str) -> Result<Arc<StageComponent>> {
        let loaded = self.load(name)?;
        let mut slot = loaded.component.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = slot.as_ref() {
            return Ok(component.clone());
        }
        let component = self
            .engine
            .component(&loaded.bytes)
            .map_err(|e| e.context(format!("component `{name}`")))?;
        let component = Arc::new(component);
        *slot = Some(component.clone());
        Ok(component)
    }
}

/// The engine of a project.
pub(crate) fn open_engine(project: &Project) -> Result<Engine> {
    Engine::new(EngineOptions {
        cache_dir: project.compile_cache_dir(),
    })
}

/// Runs a component under a node's limits.
pub(crate) fn run_component(
    component: &StageComponent,
    node: &Node,
    config: &str,
    trigger: &Trigger,
    host: RunHost,
) -> (Result<Outcome>, AccessLog, Usage) {
    let limits = Limits {
        timeout: node.timeout,
        memory_bytes: node.memory_bytes,
    };
    let (result, recorded, usage) = component.run(trigger, config, host, &limits);
    let usage = Usage {
        memory_bytes: usage.memory_bytes,
        duration: usage.duration,
    };
    (result, recorded, usage)
}

impl Runner for EngineRunner {
    fn run(&self, node: &Node, trigger: &Trigger, host: RunHost) -> (Result<Outcome>, AccessLog, Usage) {
        match self.compile(&node.component) {
            Ok(component) => run_component(&component, node, &node.config.to_string(), trigger, host),
            Err(error) => (Err(error), host.finish(), Usage::default()),
        }
    }
    fn component_digest(&self, node: &Node) -> Result<Digest> {
        Ok(self.load(&node.component)?.digest.clone())
    }
    fn component_bytes(&self, node: &Node) -> Result<Option<Vec<u8>>> {
        Ok(Some(self.load(&node.component)?.bytes.clone()))
    }
}
