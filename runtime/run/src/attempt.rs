//! One attempt to run a node for a trigger: the run's context and grants, and the records that are written of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidemill_core::{
    Digest, Outcome, Result, RunContext, Trigger, digest_json, layout,
    pipeline::Node,
    record::{OutcomeRecord, RunRecord},
    run_key, trigger_id,
};
use tidemill_store::Store;

use crate::{AccessLog, ENGINES, Grants, Ledger};

/// A node, its trigger, and what follows from both.
#[derive(Debug, Clone)]
pub struct Attempt {
    node: Node,
    trigger: Trigger,
    component: Digest,
    config: Digest,
    context: RunContext,
    depth: u32,
}

/// The result of a run and its costs.
#[derive(Debug)]
pub struct RunReport {
    /// Wall clock.
    pub started: Timestamp,
    /// The outcome, or the error that prevented one.
    pub result: Result<Outcome>,
    /// The objects that the run read and wrote.
    pub accesses: AccessLog,
    /// Wall-clock milliseconds inside the stage.
    pub duration_ms: u64,
    /// Greatest linear memory; 0 for a native stage.
    pub memory_bytes: u64,
    /// 1 for the first run of this trigger.
    pub attempt: u32,
    /// Machine, version of Tidemill.
    pub environment: BTreeMap<String, String>,
}

impl Attempt {
    /// `component` is the digest of the component that runs, or that a native stage replaces; `as_of` is the trigger's time
    /// ([`tidemill_core::time::parse_as_of`]); `depth` the steps that led to the trigger.
    pub fn new(node: &Node, component: Digest, trigger: Trigger, as_of: Timestamp, depth: u32) -> Self {
        let config = digest_json(&node.config);
        let context = RunContext {
            as_of,
            seed: node.seed,
            run_key: run_key(&node.stage, &node.resource, &component, &config, ENGINES, &trigger.digest),
            resource: node.resource.clone(),
        };
        Self {
            node: node.clone(),
            trigger,
            component,
            config,
            context,
            depth,
        }
    }

    /// The object that triggers the run.
    pub fn trigger(&self) -> &Trigger {
        &self.trigger
    }

    /// The trigger id, which names the outcome.
    pub fn id(&self) -> String {
        trigger_id(&self.node.stage, &self.node.resource, &self.trigger.key, &self.trigger.digest)
    }

    /// The context that the stage sees.
    pub fn context(&self) -> &RunContext {
        &self.context
    }

    /// The node that runs.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// What the stage may hold in memory.
    pub fn memory_bytes(&self) -> u64 {
        self.node.memory_bytes
    }

    /// The node's grants.
    pub fn grants(&self) -> Grants {
        Grants {
            reads: self.node.reads.clone(),
            writes: self.node.writes.clone(),
            fetch: self.node.fetch.clone(),
        }
    }

    /// Stores the component (where it has bytes) and the configuration, so that the run can be replayed.
    pub async fn persist_inputs(&self, store: &Store, component: Option<Vec<u8>>) -> Result<()> {
        let key = layout::component(&self.component);
        if let Some(bytes) = component
            && store.head(&key).await?.is_none()
        {
            store.create(&key, bytes.into()).await?;
        }
        let text = self.node.config.to_string();
        store
            .create(&layout::config(&self.config), text.into_bytes().into())
            .await
            .map(drop)
    }

    /// Writes the run record. Returns the outcome for [`Ledger::settle`], or the run's error.
    pub async fn finish(&self, ledger: &Ledger, ran: RunReport) -> Result<OutcomeRecord> {
        let run = RunRecord {
            run_key: self.context.run_key.clone(),
            stage: self.node.stage.clone(),
            resource: self.node.resource.clone(),
            started: ran.started,
            duration_ms: ran.duration_ms,
            memory_bytes: ran.memory_bytes,
            attempt: ran.attempt,
            reads: ran.accesses.reads,
            environment: ran.environment,
        };
        ledger.record_run(&run, &self.id()).await?;
        let outcome = ran.result?;
        Ok(OutcomeRecord {
            stage: run.stage,
            resource: run.resource,
            trigger: self.trigger.clone(),
            run_key: run.run_key,
            component: self.component.clone(),
            config: self.config.clone(),
            engines: ENGINES.to_owned(),
            as_of: outcome.as_of.unwrap_or(self.context.as_of),
            decision: outcome.decision,
            reason: outcome.reason,
            findings: outcome.findings,
            error: None,
            result: outcome.result,
            outputs: ran.accesses.outputs,
            depth: self.depth + 1,
        })
    }

    /// Like [`finish`](Self::finish), and commits the outcome. An earlier outcome of the trigger wins.
    pub async fn commit(&self, ledger: &Ledger, report: RunReport) -> Result<OutcomeRecord> {
        let record = self.finish(ledger, report).await?;
        failpoint!("before-commit");
        let record = ledger.settle(record).await?;
        failpoint!("after-commit");
        tracing::info!("{} {}: {:?}, {}", record.stage, record.resource, record.decision, record.reason);
        Ok(record)
    }
}
