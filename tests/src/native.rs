//! Every triggered stage natively, by its name: the same source as its component.

use std::{path::Path, time::Duration};

use tidemill_core::{Error, Outcome, Result, Stage, Trigger};
use tidemill_host::{RunHost, SqlEngine, SqlOptions};

type Run = fn(&Trigger, &str, &RunHost) -> Result<Outcome>;

/// `predict` is not among them: it serves, it is not triggered.
pub const STAGES: [(&str, Run); 8] = [
    ("collect", run_stage::<tidemill_collect::Collect>),
    ("validate", run_stage::<tidemill_validate::Validate>),
    ("featurize", run_stage::<tidemill_featurize::Featurize>),
    ("train", run_stage::<tidemill_train::Train>),
    ("evaluate", run_stage::<tidemill_evaluate::Evaluate>),
    ("register", run_stage::<tidemill_register::Register>),
    ("monitor", run_stage::<tidemill_monitor::Monitor>),
    ("retrain", run_stage::<tidemill_retrain::Retrain>),
];

/// Runs a stage. Blocks: call it where blocking is allowed. `config` is a JSON object.
pub fn run(stage: &str, trigger: &Trigger, config: &str, host: &RunHost) -> Result<Outcome> {
    let (_, run) = STAGES
        .iter()
        .find(|(name, _)| *name == stage)
        .ok_or_else(|| Error::config(format!("there is no stage `{stage}` to run natively")))?;
    run(trigger, config, host)
}

fn run_stage<S: Stage>(trigger: &Trigger, config: &str, host: &RunHost) -> Result<Outcome> {
    let config = serde_json::from_str(config).map_err(|e| Error::config(format!("this does not configure `{}`: {e}", S::NAME)))?;
    tidemill_lambda::run_native::<S>(trigger, &config, host)
}

/// SQL as small as the tests' data, with its cache under `folder`.
pub fn sql(folder: &Path) -> Result<SqlEngine> {
    SqlEngine::new(SqlOptions {
        cache_dir: folder.join("cache"),
        memory_bytes: 1 << 29,
        threads: 2,
        timeout: Duration::from_secs(60),
    })
}
