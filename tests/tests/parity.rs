//! The same case natively and as a component: outcomes (or errors) and outputs equal to the byte. Each folder under `cases/` is a
//! case; adding one needs no Rust. Whole chains are compared in `parity_chain.rs`.
//!
//! Components are compared only where `TIDEMILL_COMPONENTS` names their folder; without it, the native outcome is still checked.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use tidemill_core::{Digest, Error, ErrorKind, Outcome, RunContext, Trigger, record::Output};
use tidemill_engine::{Engine, EngineOptions, Limits};
use tidemill_host::{Grants, Recorded, RunHost, RunSetup, Store};
use tidemill_tests::native;

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
    /// What is decided, or `error` where nothing can be.
    decision: Option<String>,
    error: Option<ErrorKind>,
    /// Each must be part of the outcome's reason, of a finding's message, or of the error's.
    says: Vec<String>,
    /// Keys that are written, up to the run's key: `datasets/`.
    outputs: Vec<String>,
}

/// What a run ends in: compared whole.
type Ended = std::result::Result<Outcome, Error>;

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
    let (native, recorded) = natively(&case, folder, &config).await?;
    check_end(&case, &native)?;
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
        ensure!(text(&native)? == text(&component)?, "they differ: {native:#?} {component:#?}");
        ensure!(sorted(recorded.outputs.clone()) == sorted(outputs.outputs), "outputs differ");
        ensure!(recorded.reads == outputs.reads, "they did not read the same");
    }
    Ok(())
}

fn check_end(case: &Case, ended: &Ended) -> Result<()> {
    let said: Vec<&str> = match ended {
        Ok(outcome) => {
            let decision = serde_json::to_value(outcome.decision)?;
            ensure!(case.decision.as_deref() == decision.as_str(), "decided {decision}: {outcome:#?}");
            std::iter::once(&outcome.reason)
                .chain(outcome.findings.iter().map(|f| &f.message))
                .map(String::as_str)
                .collect()
        }
        Err(error) => {
            ensure!(case.error == Some(error.kind), "failed as {}: {error}", error.kind);
            vec![&error.message]
        }
    };
    for part in &case.says {
        ensure!(said.iter().any(|text| text.contains(part)), "nothing says `{part}` but {said:#?}");
    }
    Ok(())
}

fn text(ended: &Ended) -> Result<String> {
    Ok(match ended {
        Ok(outcome) => serde_json::to_string(outcome)?,
        Err(error) => serde_json::to_string(error)?,
    })
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
    let sql = native::sql(cache.path())?;
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

async fn natively(case: &Case, folder: &Path, config: &str) -> Result<(Ended, Recorded)> {
    let (trigger, host, cache) = prepare(case, folder).await?;
    let (stage, config) = (case.stage.clone(), config.to_owned());
    let ran = tokio::task::spawn_blocking(move || (native::run(&stage, &trigger, &config, &host), host.finish()));
    let result = ran.await?;
    drop(cache);
    Ok(result)
}

async fn as_component(case: &Case, folder: &Path, config: &str, components: &Path) -> Result<(Ended, Recorded)> {
    let (trigger, host, cache) = prepare(case, folder).await?;
    let bytes = std::fs::read(components.join(format!("tidemill_{}.wasm", case.stage)))?;
    // Compiled once, whatever the case.
    let (config, compiled) = (
        config.to_owned(),
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"),
    );
    let ran = tokio::task::spawn_blocking(move || -> Result<(Ended, Recorded)> {
        let engine = Engine::new(EngineOptions { cache_dir: compiled })?;
        let component = engine.component(&bytes)?;
        let limits = Limits {
            timeout: Duration::from_secs(120),
            memory_bytes: 1 << 30,
        };
        let (outcome, recorded, _) = component.run(&trigger, &config, host, &limits);
        Ok((outcome, recorded))
    });
    let result = ran.await?;
    drop(cache);
    result
}
