//! Where `tidemill up` cannot come up: it says why with the right exit code, and leaves nothing behind.

use std::net::TcpListener;

use anyhow::{Result, ensure};
use tidemill_demo::server::Server;
use tidemill_tests::{http::Connection, small, trained};

use crate::fails;

#[test]
fn on_a_port_in_use() -> Result<()> {
    let Some(tidemill) = trained::tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = small::project(folder.path())?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let port = format!("port {}", taken.local_addr()?.port());
    fails(
        &tidemill,
        &project,
        &["up", "--addr", &address],
        2,
        &[&port, "in use", "hint: ", "--addr 127.0.0.1:0"],
    )?;
    ensure!(!project.join(".tidemill").exists(), "a start that failed left `.tidemill` behind");
    for bad in ["8080", "nowhere", "127.0.0.1:99999"] {
        fails(
            &tidemill,
            &project,
            &["up", "--addr", bad],
            2,
            &[&format!("`{bad}`"), "`127.0.0.1:8080`"],
        )?;
    }
    ensure!(!project.join(".tidemill").exists(), "a start that failed left `.tidemill` behind");
    Ok(())
}

#[test]
fn twice_on_one_project() -> Result<()> {
    let Some(tidemill) = trained::tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = small::project(folder.path())?;
    let server = Server::up(&tidemill, &project, &[])?;
    let at = server.address.clone();
    let same = at.trim_start_matches("http://");
    for addr in ["127.0.0.1:0", same] {
        fails(
            &tidemill,
            &project,
            &["up", "--addr", addr],
            2,
            &["`small` is up already", &at, "hint: ", "stop it first"],
        )?;
    }
    // The first is none the worse for it.
    let mut connection = Connection::open(&at)?;
    ensure!(connection.ask("GET", "/healthz", &[], b"")?.status == 200);
    ensure!(
        server.project.join(".tidemill/address").is_file(),
        "the second start took the first one's address away"
    );
    server.stop()?;
    // Nor is the next one, once the first is gone.
    Server::up(&tidemill, &project, &[])?.stop()
}

#[test]
fn where_there_is_no_project() -> Result<()> {
    let Some(tidemill) = trained::tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    for command in ["up", "check", "models", "runs"] {
        fails(
            &tidemill,
            folder.path(),
            &[command],
            4,
            &["there is no tidemill.toml in `", "tidemill new"],
        )?;
    }
    ensure!(std::fs::read_dir(folder.path())?.next().is_none(), "a refused command left files");
    let project = small::project(folder.path())?;
    std::fs::remove_file(project.join("contract.toml"))?;
    fails(
        &tidemill,
        &project,
        &["up", "--addr", "127.0.0.1:0"],
        2,
        &["`contract.toml` is not in `"],
    )?;
    std::fs::write(project.join("tidemill.toml"), "[project]\nname = \"small\"\n[modle.x]\n")?;
    fails(
        &tidemill,
        &project,
        &["up", "--addr", "127.0.0.1:0"],
        2,
        &["tidemill.toml", "`modle`"],
    )?;
    ensure!(!project.join(".tidemill").exists(), "a start that failed left `.tidemill` behind");
    Ok(())
}
