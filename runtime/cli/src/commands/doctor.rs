//! `tidemill doctor`: checks the machine and the project. Each failed check says what to do; if a required one fails, the exit code is that of
//! a configuration error.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use clap::Args;
use serde::Serialize;
use tidemill_core::{ErrorKind, pipeline::StageKind};
use tidemill_nn::find_onnxruntime;
use tidemill_run::ENGINES;

use crate::{
    output::{Output, Tone, paint, result_width, wrap},
    project::{Installation, Project},
};

/// The width of the longest check's name.
const NAME_WIDTH: usize = 12;
/// In narrower terminals, what was found begins a line of its own.
const MIN_FOUND_WIDTH: usize = 20;

/// Checks this machine and project.
#[derive(Args)]
pub(crate) struct Doctor {
    /// The address that `tidemill up` would use.
    #[arg(long, default_value = tidemill_app::DEFAULT_ADDRESS)]
    addr: String,
}

#[derive(Serialize)]
struct Diagnosis {
    check: &'static str,
    /// `ok`, `missing` (needed) or `optional`.
    state: &'static str,
    found: String,
}

fn passed(check: &'static str, found: impl Into<String>) -> Diagnosis {
    Diagnosis {
        check,
        state: "ok",
        found: found.into(),
    }
}

fn missing(check: &'static str, needed: bool, found: impl Into<String>) -> Diagnosis {
    Diagnosis {
        check,
        state: if needed { "missing" } else { "optional" },
        found: found.into(),
    }
}

impl Doctor {
    pub(crate) async fn run(&self, project: Option<&Project>, output: Output) -> anyhow::Result<ExitCode> {
        let mut checks = vec![
            check_wasm_target(),
            check_engines(project),
            check_onnx_runtime(),
            check_port(&self.addr),
        ];
        match project {
            Some(project) => {
                checks.push(check_components(project));
                checks.push(check_store(project).await);
            }
            None => checks.push(missing(
                "project",
                false,
                "no tidemill.toml here or above, or it has a mistake; `tidemill check` says which",
            )),
        }
        output.print(&checks, |checks| checks.iter().map(render_check).collect::<Vec<_>>().join("\n"))?;
        let is_complete = checks.iter().all(|check| check.state != "missing");
        Ok(if is_complete {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(ErrorKind::Config.exit_code())
        })
    }
}

/// `✓ engines  duckdb 1.5.6`; `✗` fails, `-` is missing where it is not needed.
fn render_check(check: &Diagnosis) -> String {
    let (mark, tone) = match check.state {
        "ok" => ("✓", Tone::Good),
        "missing" => ("✗", Tone::Bad),
        _ => ("-", Tone::Warning),
    };
    let room = result_width().saturating_sub(NAME_WIDTH + 4);
    let found = wrap(&check.found, room.max(MIN_FOUND_WIDTH), 0).join(&format!("\n{:1$}", "", NAME_WIDTH + 4));
    format!("{} {:NAME_WIDTH$}  {found}", paint(tone, mark), check.check)
}

fn check_wasm_target() -> Diagnosis {
    let name = "wasm target";
    let Ok(out) = Command::new("rustc").args(["--print", "sysroot"]).output() else {
        return missing(
            name,
            false,
            "there is no `rustc`; needed only to build stages of your own: https://rustup.rs",
        );
    };
    let sysroot = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    let library = Path::new(&sysroot).join("lib/rustlib/wasm32-wasip2");
    match library.is_dir() {
        true => passed(name, "wasm32-wasip2"),
        false => missing(
            name,
            false,
            "needed only to build stages of your own: `rustup target add wasm32-wasip2`",
        ),
    }
}

fn check_engines(project: Option<&Project>) -> Diagnosis {
    let folder = project.map_or_else(
        || std::env::temp_dir().join("tidemill-cache"),
        |project| project.state_path("cache/sql"),
    );
    let options = tidemill_host::SqlOptions {
        cache_dir: folder,
        memory_bytes: 1 << 28,
        threads: 1,
        timeout: std::time::Duration::from_secs(10),
    };
    match tidemill_host::SqlEngine::new(options) {
        Ok(_) => passed("engines", ENGINES),
        Err(error) => missing("engines", true, error.message),
    }
}

fn check_onnx_runtime() -> Diagnosis {
    match find_onnxruntime() {
        Some(path) => passed("ONNX Runtime", path.display().to_string()),
        None => missing(
            "ONNX Runtime",
            false,
            "not found: models run on tract; `pip install onnxruntime`, or set ORT_DYLIB_PATH",
        ),
    }
}

fn check_port(address: &str) -> Diagnosis {
    match std::net::TcpListener::bind(address) {
        Ok(_) => passed("port", format!("{address} is free")),
        Err(error) => missing(
            "port",
            false,
            format!("{address}: {error}; stop what uses it, or `tidemill up --addr 127.0.0.1:0`"),
        ),
    }
}

fn check_components(project: &Project) -> Diagnosis {
    let absent: Vec<&str> = StageKind::ALL
        .into_iter()
        .map(StageKind::name)
        .filter(|stage| project.component_path(&format!("tidemill:{stage}")).is_err())
        .collect();
    let folders: Vec<String> = project.component_dirs().iter().map(|f| f.display().to_string()).collect();
    let advice = Installation::of_this_program().advice();
    if absent.is_empty() {
        return passed("components", format!("{0} of {0}", StageKind::ALL.len()));
    }
    let advice = format!("{} in none of {}; {advice}", absent.join(", "), folders.join(", "));
    missing("components", true, advice)
}

async fn check_store(project: &Project) -> Diagnosis {
    let name = "store";
    // Under a prefix that triggers nothing.
    let key = format!("runs/doctor-{}.json", std::process::id());
    let tried = async {
        let store = project.open_store()?;
        store.create(&key, b"{}\n".to_vec().into()).await?;
        store.delete(&key).await
    };
    match tried.await {
        Ok(_) => passed(name, project.location.clone()),
        Err(error) => missing(name, true, error.message),
    }
}
