//! `tidemill doctor`: what the machine has and lacks, each with what to do. Every check that fails is said; the exit code is that of a wrong configuration.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use clap::Args;
use serde::Serialize;
use tidemill_core::{ErrorKind, pipeline::STAGES};
use tidemill_host::{ENGINES, nn};

use crate::{
    output::{Output, table},
    project::Project,
};

/// Checks this machine and project.
#[derive(Args)]
pub(crate) struct Doctor {
    /// The address that `tidemill up` would use.
    #[arg(long, default_value = super::up::ADDRESS)]
    addr: String,
}

#[derive(Serialize)]
struct Checked {
    check: &'static str,
    /// `ok`, `missing` (needed) or `optional`.
    state: &'static str,
    found: String,
}

fn ok(check: &'static str, found: impl Into<String>) -> Checked {
    Checked {
        check,
        state: "ok",
        found: found.into(),
    }
}

fn lacks(check: &'static str, needed: bool, found: impl Into<String>) -> Checked {
    Checked {
        check,
        state: if needed { "missing" } else { "optional" },
        found: found.into(),
    }
}

impl Doctor {
    pub(crate) async fn run(&self, project: Option<&Project>, output: Output) -> anyhow::Result<ExitCode> {
        let mut checks = vec![wasm_target(), duckdb(project), onnx_runtime(), port(&self.addr)];
        match project {
            Some(project) => {
                checks.push(components(project));
                checks.push(store(project).await);
            }
            None => checks.push(lacks(
                "project",
                false,
                "no tidemill.toml here or above, or it has a mistake; `tidemill check` says which",
            )),
        }
        output.show(&checks, |checks| {
            let row = |c: &Checked| vec![c.check.to_owned(), c.state.to_owned(), c.found.clone()];
            table(&["check", "state", "found"], checks.iter().map(row).collect(), "")
        })?;
        let well = checks.iter().all(|check| check.state != "missing");
        Ok(if well {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(ErrorKind::Config.exit_code())
        })
    }
}

fn wasm_target() -> Checked {
    let name = "wasm target";
    let Ok(out) = Command::new("rustc").args(["--print", "sysroot"]).output() else {
        return lacks(
            name,
            false,
            "there is no `rustc`; needed only to build stages of your own: https://rustup.rs",
        );
    };
    let sysroot = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    let library = Path::new(&sysroot).join("lib/rustlib/wasm32-wasip2");
    match library.is_dir() {
        true => ok(name, "wasm32-wasip2"),
        false => lacks(
            name,
            false,
            "needed only to build stages of your own: `rustup target add wasm32-wasip2`",
        ),
    }
}

fn duckdb(project: Option<&Project>) -> Checked {
    let folder = project.map_or_else(|| std::env::temp_dir().join("tidemill-cache"), |project| project.own("cache/sql"));
    let options = tidemill_host::SqlOptions {
        cache_dir: folder,
        memory_bytes: 1 << 28,
        threads: 1,
        timeout: std::time::Duration::from_secs(10),
    };
    match tidemill_host::SqlEngine::new(options) {
        Ok(_) => ok("engines", ENGINES),
        Err(error) => lacks("engines", true, error.message),
    }
}

fn onnx_runtime() -> Checked {
    match nn::find_onnxruntime() {
        Some(path) => ok("ONNX Runtime", path.display().to_string()),
        None => lacks(
            "ONNX Runtime",
            false,
            "not found: models run on tract; `pip install onnxruntime`, or set ORT_DYLIB_PATH",
        ),
    }
}

fn port(address: &str) -> Checked {
    match std::net::TcpListener::bind(address) {
        Ok(_) => ok("port", format!("{address} is free")),
        Err(error) => lacks(
            "port",
            false,
            format!("{address}: {error}; stop what uses it, or `tidemill up --addr 127.0.0.1:0`"),
        ),
    }
}

fn components(project: &Project) -> Checked {
    let missing: Vec<&str> = STAGES
        .into_iter()
        .filter(|stage| project.component(&format!("tidemill:{stage}")).is_err())
        .collect();
    let folders: Vec<String> = project.component_folders().iter().map(|f| f.display().to_string()).collect();
    if missing.is_empty() {
        return ok("components", format!("{} of {}", STAGES.len(), STAGES.len()));
    }
    let advice = format!("{} in none of {}; set TIDEMILL_COMPONENTS", missing.join(", "), folders.join(", "));
    lacks("components", true, advice)
}

async fn store(project: &Project) -> Checked {
    let name = "store";
    let key = format!("audit/doctor-{}.json", std::process::id());
    let tried = async {
        let store = project.store()?;
        store.create(&key, b"{}\n".to_vec().into()).await?;
        store.delete(&key).await
    };
    match tried.await {
        Ok(_) => ok(name, project.location.clone()),
        Err(error) => lacks(name, true, error.message),
    }
}
