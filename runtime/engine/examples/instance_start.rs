//! Measures how long a fresh instance takes: `instance_start <component.wasm>` prints one JSON object. A stage is not called.

use std::{sync::Arc, time::Duration};

use tidemill_core::{Digest, Error, RunContext, Trigger};
use tidemill_engine::{Engine, EngineOptions, Limits, StageHost};
use tidemill_host::{Grants, RunHost, RunSetup, SqlEngine, SqlOptions, Store};

const RUNS: usize = 2000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: instance_start <component.wasm>")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    let trigger = Trigger {
        key: "raw/none/none.csv".into(),
        digest: Digest::sha256(b""),
    };
    let folder = std::env::temp_dir().join(format!("instance-start-{}", std::process::id()));
    let host: Arc<dyn StageHost> = Arc::new(RunHost::new(RunSetup {
        store: Store::memory(),
        sql: SqlEngine::new(SqlOptions {
            cache_dir: folder,
            memory_bytes: 64 << 20,
            threads: 1,
            timeout: Duration::from_secs(1),
        })?,
        context: RunContext {
            as_of: Default::default(),
            seed: 1,
            run_key: "0".repeat(32),
            resource: "none".into(),
        },
        trigger: trigger.clone(),
        grants: Grants::default(),
        progress: None,
        handle: runtime.handle().clone(),
    }));
    let component = Engine::new(EngineOptions::default())?.component(&std::fs::read(path)?)?;
    let limits = Limits {
        timeout: Duration::from_secs(10),
        memory_bytes: 256 << 20,
    };
    let once = |_| component.instantiate(&trigger, host.clone(), &limits);
    let mut took: Vec<Duration> = (0..RUNS).map(once).collect::<Result<_, Error>>()?;
    took.sort_unstable();
    let micros = |share: f64| took[(share * (RUNS - 1) as f64) as usize].as_secs_f64() * 1e6;
    println!(
        "{}",
        serde_json::json!({ "p50_us": micros(0.5), "p99_us": micros(0.99), "runs": RUNS })
    );
    Ok(())
}
