//! A stage as native code: the same source as its component, called directly.

use std::{marker::PhantomData, time::Instant};

use serde_json::Value;
use tidemill_core::{
    Digest, Error, Host, Outcome, Result, Stage, Trigger,
    pipeline::{Node, NodeSettings},
};
use tidemill_host::{RunHost, Runner, Usage};
use tidemill_run::AccessLog;

use crate::ComponentSource;

/// Runs `S`.
pub(crate) struct Native<S> {
    component: Digest,
    stage: PhantomData<fn() -> S>,
}

impl<S: Stage> Native<S> {
    /// The configuration is checked here, before any event comes.
    pub(crate) fn new(node: &NodeSettings) -> Result<Self> {
        if node.stage != S::NAME {
            return Err(Error::config(format!(
                "`TIDEMILL_CONFIG` describes stage `{}`, and this is the program of `{}`: deploy that stage's program",
                node.stage,
                S::NAME
            )));
        }
        parse_config::<S>(&node.config)?;
        Ok(Self {
            component: digest(node.component.as_deref())?,
            stage: PhantomData,
        })
    }
}

/// The digest of the component that this program replaces; else that of the program itself.
fn digest(component: Option<&str>) -> Result<Digest> {
    match component.map(ComponentSource::from_name) {
        Some(ComponentSource::Stored(digest)) => Ok(digest),
        Some(ComponentSource::File(path)) => Ok(Digest::sha256(&ComponentSource::read(&path)?)),
        None => {
            let program = std::env::current_exe().and_then(std::fs::read);
            let program = program.map_err(|e| Error::bug(format!("this program cannot be read: {e}")))?;
            Ok(Digest::sha256(&program))
        }
    }
}

impl<S: Stage + 'static> Runner for Native<S> {
    fn run(&self, node: &Node, trigger: &Trigger, host: RunHost) -> (Result<Outcome>, AccessLog, Usage) {
        let started = Instant::now();
        let result = run_native::<S>(trigger, &node.config, &host);
        let usage = Usage {
            memory_bytes: 0,
            duration: started.elapsed(),
        };
        (result, host.finish(), usage)
    }

    fn uses_sql(&self) -> bool {
        S::SQL
    }

    fn component_digest(&self, _: &Node) -> Result<Digest> {
        Ok(self.component.clone())
    }
}

/// Runs a stage natively, to the same outcome as its component. The result leaves a component as JSON text, and reading a number back may
/// change its last digit: it is read back here too.
fn run_native<S: Stage>(trigger: &Trigger, config: &Value, host: &dyn Host) -> Result<Outcome> {
    let mut outcome = S::run(trigger, parse_config::<S>(config)?, host)?;
    outcome.result = serde_json::from_str(&outcome.result.to_string())
        .map_err(|e| Error::bug(format!("the result of stage `{}` are not JSON: {e}", S::NAME)))?;
    Ok(outcome)
}

fn parse_config<S: Stage>(config: &Value) -> Result<S::Config> {
    S::parse_config(config).map_err(|e| Error::config(format!("`TIDEMILL_CONFIG` does not configure stage `{}`: {e}", S::NAME)))
}
