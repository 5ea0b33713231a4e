//! The same case natively and as a component: outcomes and outputs equal to the byte. Each folder under `cases/` is a case; adding
//! one needs no Rust, unless its stage is new here.
//!
//! Components are compared only where `TIDEMILL_COMPONENTS` names their folder; without it, the native outcome is still checked.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::Deserialize;
use tidemill_core::{Digest, Outcome, RunContext, Stage, Trigger, record::Output};
use tidemill_engine::{Engine, EngineOptions, Limits};
use tidemill_host::{Grants, Recorded, RunHost, RunSetup, SqlEngine, SqlOptions, Store};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Case {
    stage: String,
    subject: String,
    trigger: String,
    /// A JSON file beside the cases.
    config: String,
    /// Key → file in the case's folder.
    objects: BTreeMap<String, String>,
    reads: Vec<String>,
    writes: Vec<String>,
    decision: String,
    /// Each must be part of the outcome's reason or of a finding's message.
    says: Vec<String>,
    /// Keys that are written, up to the run's key: `datasets/`.
    outputs: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn natively_and_as_component() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let components = std::env::var_os("TIDEMILL_COMPONENTS").map(PathBuf::from);
    assert!(
        components.is_some() || std::env::var_os("CI").is_none(),
        "TIDEMILL_COMPONENTS is not set: run `cargo xtask test`"
    );
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&root)?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.is_dir())
        .collect();
    folders.sort();
    let mut wrong = Vec::new();
    for folder in folders {
        if let Err(error) = judge(&root, &folder, components.as_deref()).await {
            wrong.push(format!("{}: {error:#}", folder.display()));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn judge(root: &Path, folder: &Path, components: Option<&Path>) -> Result<()> {
    let case: Case = toml::from_str(&std::fs::read_to_string(folder.join("case.toml"))?)?;
    let config = std::fs::read_to_string(root.join(&case.config))?;
    let (native, recorded) = native(&case, folder, &config).await?;
    let said = std::iter::once(&native.reason)
        .chain(native.findings.iter().map(|f| &f.message))
        .cloned()
        .collect::<Vec<_>>();
    let decision = serde_json::to_value(native.decision)?;
    ensure!(decision == case.decision.as_str(), "decided {decision}, saying {said:#?}");
    for part in &case.says {
        ensure!(said.iter().any(|text| text.contains(part)), "nothing says `{part}` but {said:#?}");
    }
    let keys: Vec<&str> = recorded.outputs.iter().map(|o| o.key.as_str()).collect();
    for prefix in &case.outputs {
        ensure!(
            keys.iter().any(|key| key.starts_with(prefix.as_str())),
            "nothing under `{prefix}` was written, only {keys:?}"
        );
    }
    for key in &keys {
        ensure!(
            case.outputs.iter().any(|prefix| key.starts_with(prefix.as_str())),
            "`{key}` was written"
        );
    }
    if let Some(components) = components {
        let (component, outputs) = as_component(&case, folder, &config, components).await?;
        ensure!(
            serde_json::to_string(&native)? == serde_json::to_string(&component)?,
            "outcomes differ: {native:#?} {component:#?}"
        );
        ensure!(sorted(recorded.outputs.clone()) == sorted(outputs.outputs), "outputs differ");
    }
    Ok(())
}

fn sorted(mut outputs: Vec<Output>) -> Vec<Output> {
    outputs.sort_by(|a, b| a.key.cmp(&b.key));
    outputs
}

/// A fresh store with the case's objects, and a host over it.
async fn prepare(case: &Case, folder: &Path) -> Result<(Trigger, RunHost, tempfile::TempDir)> {
    let cache = tempfile::tempdir()?;
    let store = Store::local(&cache.path().join("store"))?;
    for (key, file) in &case.objects {
        store
            .create(key, std::fs::read(folder.join(file)).with_context(|| file.clone())?.into())
            .await?;
    }
    let sql = SqlEngine::new(SqlOptions {
        cache_dir: cache.path().join("cache"),
        memory_bytes: 1 << 29,
        threads: 2,
        timeout: Duration::from_secs(60),
    })?;
    let trigger = Trigger {
        key: case.trigger.clone(),
        digest: Digest::of(&store.get(&case.trigger).await?),
    };
    let context = RunContext {
        as_of: jiff::Timestamp::UNIX_EPOCH,
        seed: 7,
        run_key: "0".repeat(32),
        subject: case.subject.clone(),
    };
    let grants = Grants {
        reads: case.reads.clone(),
        writes: case.writes.clone(),
        fetch: vec![],
    };
    let handle = tokio::runtime::Handle::current();
    let host = RunHost::new(RunSetup {
        store,
        sql,
        context,
        trigger: trigger.clone(),
        grants,
        progress: None,
        handle,
    });
    Ok((trigger, host, cache))
}

async fn native(case: &Case, folder: &Path, config: &str) -> Result<(Outcome, Recorded)> {
    let (trigger, host, cache) = prepare(case, folder).await?;
    let (stage, config) = (case.stage.clone(), config.to_owned());
    let ran = tokio::task::spawn_blocking(move || {
        let outcome = match stage.as_str() {
            "validate" => run::<tidemill_validate::Validate>(&trigger, &config, &host),
            "register" => run::<tidemill_register::Register>(&trigger, &config, &host),
            other => Err(anyhow!("stage `{other}` is not in `parity.rs`")),
        };
        outcome.map(|outcome| (outcome, host.finish()))
    });
    let result = ran.await?;
    drop(cache);
    result
}

fn run<S: Stage>(trigger: &Trigger, config: &str, host: &RunHost) -> Result<Outcome> {
    Ok(S::run(trigger, serde_json::from_str(config)?, host)?)
}

async fn as_component(case: &Case, folder: &Path, config: &str, components: &Path) -> Result<(Outcome, Recorded)> {
    let (trigger, host, cache) = prepare(case, folder).await?;
    let bytes = std::fs::read(components.join(format!("tidemill_{}.wasm", case.stage)))?;
    // Compiled once, whatever the case.
    let (config, compiled) = (
        config.to_owned(),
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"),
    );
    let ran = tokio::task::spawn_blocking(move || -> Result<(Outcome, Recorded)> {
        let engine = Engine::new(EngineOptions { cache_dir: compiled })?;
        let component = engine.component(&bytes)?;
        let limits = Limits {
            timeout: Duration::from_secs(120),
            memory_bytes: 1 << 30,
        };
        let (outcome, recorded, _) = component.run(&trigger, &config, host, &limits);
        Ok((outcome?, recorded))
    });
    let result = ran.await?;
    drop(cache);
    result
}
