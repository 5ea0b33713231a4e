//! A store as a stage would read it, with SQL.

use anyhow::Result;
use jiff::Timestamp;
use tidemill_core::{Digest, RunContext, Trigger};
use tidemill_host::{Grants, RunHost, RunSetup, SqlEngine, SqlOptions};

use crate::server::Server;

/// Opens the store of a project to read all of it, and to write under `demo/<purpose>/`.
///
/// # Errors
/// If the SQL engine cannot be started.
pub fn open_reader(server: &Server, purpose: &str) -> Result<RunHost> {
    let sql = SqlEngine::new(SqlOptions {
        cache_dir: server.project.join(".tidemill/demo-cache"),
        memory_bytes: 2 << 30,
        threads: 2,
        timeout: std::time::Duration::from_secs(120),
    })?;
    Ok(RunHost::new(RunSetup {
        store: server.store.clone(),
        sql,
        context: RunContext {
            as_of: Timestamp::UNIX_EPOCH,
            seed: 0,
            run_key: purpose.into(),
            resource: "demo".into(),
        },
        trigger: Trigger {
            key: "demo".into(),
            digest: Digest::sha256(b""),
        },
        grants: Grants {
            reads: vec!["**".into()],
            writes: vec![format!("demo/{purpose}/**")],
            fetch: vec![],
        },
        progress: None,
        handle: server.runtime.handle().clone(),
    }))
}
