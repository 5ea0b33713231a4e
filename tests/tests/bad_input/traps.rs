//! A serving component that traps: it costs the one request that it was at, and the next is answered by a fresh instance.

use std::{fs, path::PathBuf};

use anyhow::{Result, ensure};
use tidemill_harness::{http::Connection, server::Server};
use tidemill_tests::{small, trained};

const GUEST: &str = "tidemill_guest_serve_trap.wasm";

/// The guest, if the guests are built.
fn guest() -> Option<PathBuf> {
    let folder = std::env::var_os("TIDEMILL_COMPONENTS").map(PathBuf::from);
    let path = folder.map(|folder| folder.join(GUEST)).filter(|path| path.is_file());
    if path.is_none() {
        assert!(std::env::var_os("CI").is_none(), "`{GUEST}` is not built: run `cargo xtask guests`");
        eprintln!("skipped: `{GUEST}` is not built; `cargo xtask guests` builds it");
    }
    path
}

#[test]
fn cost_one_request() -> Result<()> {
    let (Some(tidemill), Some(guest)) = (trained::find_tidemill(), guest()) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let project = small::project(folder.path())?;
    fs::copy(guest, project.join("trap.wasm"))?;
    let manifest = project.join("tidemill.toml");
    let text = fs::read_to_string(&manifest)? + "\n[[stage]]\nname = \"predict\"\ncomponent = \"trap.wasm\"\n";
    fs::write(&manifest, text)?;
    let server = Server::up(&tidemill, &project, &[])?;
    let mut connection = Connection::open(&server.address)?;
    let mut requests = |path: &str| -> Result<(u16, String, Option<u64>)> {
        let answer = connection.request("GET", path, &[], b"")?;
        Ok((answer.status, answer.error().to_owned(), answer.body["requests"].as_u64()))
    };
    // One client: each request is the same instance's next one, until that is lost.
    ensure!(
        requests("/")? == (200, String::new(), Some(1)) && requests("/")?.2 == Some(2),
        "an instance is not reused"
    );
    for path in ["/trap", "/panic", "/trap"] {
        let (status, error, _) = requests(path)?;
        ensure!(
            status == 500 && error.contains("failed on this request"),
            "{path}: {status} `{error}`"
        );
        ensure!(
            requests("/")? == (200, String::new(), Some(1)),
            "after {path} no fresh instance answers"
        );
    }
    let log = fs::read_to_string(project.with_extension("log"))?;
    ensure!(
        log.contains("unreachable"),
        "the log does not say that the component trapped: {log}"
    );
    server.stop()?;
    // What is no component is said at the start.
    fs::write(project.join("trap.wasm"), "this is no component")?;
    super::fails(
        &tidemill,
        &project,
        &["up", "--addr", "127.0.0.1:0"],
        2,
        &["the serving component: this is not a WebAssembly component"],
    )?;
    fs::remove_file(project.join("trap.wasm"))?;
    super::fails(
        &tidemill,
        &project,
        &["up", "--addr", "127.0.0.1:0"],
        2,
        &["the component `trap.wasm` is not in the project"],
    )
}
