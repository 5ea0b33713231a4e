//! One invocation: read the trigger, run the stage, commit the outcome. Killed between any two of these, it is done again to the
//! same effect.

use std::{marker::PhantomData, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tidemill_core::{
    Digest, Error, Host, Outcome, Result, RunContext, Stage, Trigger, digest_json,
    record::{OutcomeRecord, RunRecord},
    run_key, trigger_id,
};
use tidemill_host::{Commit, ENGINES, Grants, Ledger, Recorded, RunHost, RunSetup, SqlEngine, SqlOptions, Store};

use crate::{Settings, keys};

/// A stage over a store.
pub struct Handler<S> {
    settings: Settings,
    store: Store,
    sql: SqlEngine,
    /// The digest of this executable: natively, that is the component.
    program: Digest,
    stage: PhantomData<fn() -> S>,
}

impl<S: Stage + 'static> Handler<S> {
    /// Opens the store. The configuration is checked here, before any event comes.
    pub fn new(settings: Settings) -> Result<Self> {
        parsed::<S::Config>(S::NAME, &settings.node.config)?;
        let sql = SqlEngine::new(SqlOptions {
            cache_dir: std::env::temp_dir().join("tidemill-cache"),
            memory_bytes: 1 << 30,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            timeout: Duration::from_secs(840),
        })?;
        let program = std::env::current_exe()
            .and_then(std::fs::read)
            .map_err(|e| Error::bug(format!("this program cannot be read: {e}")))?;
        Ok(Self {
            store: Store::local(&settings.store)?,
            settings,
            sql,
            program: Digest::of(&program),
            stage: PhantomData,
        })
    }

    /// Runs the stage for each key that the payload names; answers with the decisions by key.
    pub async fn handle(&self, payload: &Value) -> Result<Value> {
        let mut decisions = Map::new();
        for key in keys(payload)? {
            let record = self.one(&key).await.map_err(|e| e.context(format!("`{key}`")))?;
            tracing::info!("{} {}: {:?}, {}", record.stage, record.subject, record.decision, record.reason);
            decisions.insert(key, json!({ "decision": record.decision, "reason": record.reason }));
        }
        Ok(Value::Object(decisions))
    }

    async fn one(&self, key: &str) -> Result<OutcomeRecord> {
        let bytes = self.store.get(key).await?;
        let trigger = Trigger {
            key: key.to_owned(),
            digest: Digest::of(&bytes),
        };
        let subject = &self.settings.node.subject;
        let id = trigger_id(S::NAME, subject, key, &trigger.digest);
        let ledger = Ledger::new(self.store.clone());
        if let Some(record) = ledger.find(S::NAME, subject, &id).await? {
            return Ok(record);
        }
        let clock = Clock::of(key, &bytes);
        drop(bytes);
        let config = digest_json(&self.settings.node.config);
        let context = RunContext {
            as_of: clock.as_of,
            seed: self.settings.node.seed,
            run_key: run_key(S::NAME, subject, &self.program, &config, ENGINES, &trigger.digest),
            subject: subject.clone(),
        };
        let started = Timestamp::now();
        let (result, recorded) = self.call(&trigger, context.clone()).await?;
        let run = RunRecord {
            run_key: context.run_key.clone(),
            stage: S::NAME.to_owned(),
            subject: subject.clone(),
            started,
            duration_ms: Timestamp::now().duration_since(started).as_millis().try_into().unwrap_or_default(),
            memory_bytes: 0,
            attempt: 1,
            reads: recorded.reads,
            environment: [("runtime".to_owned(), "lambda".to_owned())].into(),
        };
        ledger.record_run(&run, &id).await?;
        let outcome = result?;
        let record = OutcomeRecord {
            stage: S::NAME.to_owned(),
            subject: subject.clone(),
            trigger,
            run_key: context.run_key,
            component: self.program.clone(),
            config,
            engines: ENGINES.to_owned(),
            as_of: outcome.as_of.unwrap_or(clock.as_of),
            decision: outcome.decision,
            reason: outcome.reason,
            findings: outcome.findings,
            error: None,
            facts: outcome.facts,
            outputs: recorded.outputs,
            hops: clock.hops + 1,
        };
        Ok(match ledger.commit(&record).await? {
            Commit::New => record,
            Commit::Already(earlier) => *earlier,
        })
    }

    async fn call(&self, trigger: &Trigger, context: RunContext) -> Result<(Result<Outcome>, Recorded)> {
        let node = &self.settings.node;
        let host = RunHost::new(RunSetup {
            store: self.store.clone(),
            sql: self.sql.clone(),
            context,
            trigger: trigger.clone(),
            grants: Grants {
                reads: node.reads.clone(),
                writes: node.writes.clone(),
                fetch: node.fetch.clone(),
            },
            progress: None,
            handle: tokio::runtime::Handle::current(),
        });
        // A configuration need not be `Send`, so it is read on the thread that uses it.
        let (trigger, value) = (trigger.clone(), node.config.clone());
        tokio::task::spawn_blocking(move || {
            let result = call::<S>(&trigger, &value, &host);
            (result, host.finish())
        })
        .await
        .map_err(|e| Error::bug(format!("the thread of stage `{}` ended: {e}", S::NAME)))
    }
}

/// Runs a stage natively, to the same outcome as its component. Facts leave a component as JSON text, and reading a number back may
/// change its last digit: they are read back here too.
pub fn call<S: Stage>(trigger: &Trigger, config: &Value, host: &dyn Host) -> Result<Outcome> {
    let mut outcome = S::run(trigger, parsed::<S::Config>(S::NAME, config)?, host)?;
    outcome.facts = serde_json::from_str(&outcome.facts.to_string())
        .map_err(|e| Error::bug(format!("the facts of stage `{}` are not JSON: {e}", S::NAME)))?;
    Ok(outcome)
}

fn parsed<C: DeserializeOwned>(stage: &str, config: &Value) -> Result<C> {
    C::deserialize(config).map_err(|e| Error::config(format!("`TIDEMILL_CONFIG` does not configure stage `{stage}`: {e}")))
}

/// What a trigger says about time and about the chain behind it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Clock {
    as_of: Timestamp,
    #[serde(default)]
    hops: u32,
}

impl Clock {
    /// 1970 where the trigger has no time of its own.
    fn of(key: &str, bytes: &[u8]) -> Self {
        let found = key.ends_with(".json").then(|| serde_json::from_slice(bytes).ok()).flatten();
        found.unwrap_or(Self {
            as_of: Timestamp::UNIX_EPOCH,
            hops: 0,
        })
    }
}
