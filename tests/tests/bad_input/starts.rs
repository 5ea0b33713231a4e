//! Where `tidemill up` cannot come up: it says why with the right exit code, and leaves nothing behind. So do commands whose words or
//! whose output lead nowhere.

use std::{
    net::TcpListener,
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};
use tidemill_harness::{http::Connection, server::Server};
use tidemill_tests::{small, trained};

use super::fails;

#[test]
fn on_a_port_in_use() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
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
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
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
    ensure!(connection.request("GET", "/healthz", &[], b"")?.status == 200);
    ensure!(
        server.project.join(".tidemill/address").is_file(),
        "the second start took the first one's address away"
    );
    server.stop()?;
    // Nor is the next one, once the first is gone.
    Server::up(&tidemill, &project, &[])?.stop()
}

/// What a project does not have is named, with what it has; a project that has it may say that nothing has run yet.
#[test]
fn names_that_the_project_does_not_have() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = small::project(folder.path())?;
    let refused = |arguments: &[&str], says: &[&str]| fails(&tidemill, &project, arguments, 4, says);
    refused(&["runs", "--stage", "bogus"], &["no stage `bogus`", "`validate`"])?;
    refused(
        &["runs", "--stage", "validate", "--resource", "bogus"],
        &["`validate`", "`bogus`", "`readings`"],
    )?;
    refused(&["runs", "--resource", "bogus"], &["`bogus`", "`alarm`, `readings`"])?;
    refused(&["runs", "show", "abc"], &["begins with `abc`", "hint: "])?;
    refused(&["replay", "bogus"], &["no model `bogus`", "`alarm`"])?;
    refused(
        &["replay", "alarm", "9"],
        &["`alarm` has no version `9`", "no version is registered yet"],
    )?;
    refused(&["models", "show", "bogus"], &["no model `bogus`", "`alarm`"])?;
    refused(&["models", "show", "alarm"], &["no champion yet"])?;
    refused(&["models", "show", "alarm@best"], &["no alias `best`", "`alarm@1`"])?;
    refused(&["models", "alias", "bogus", "champion", "1"], &["no model `bogus`", "`alarm`"])?;
    for arguments in [&["runs"][..], &["runs", "--stage", "validate"], &["replay", "alarm"]] {
        let ended = Command::new(&tidemill).args(arguments).current_dir(&project).output()?;
        ensure!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    Ok(())
}

/// A reader that is gone is no failure, a disk that is full is one.
#[test]
fn where_nothing_can_be_written() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let completions = || {
        let mut command = Command::new(&tidemill);
        command.args(["completions", "bash"]).current_dir(folder.path());
        command
    };
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let ended = completions().stdout(writer).stderr(Stdio::piped()).spawn()?.wait_with_output()?;
    ensure!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    let full = std::fs::File::options().write(true).open("/dev/full")?;
    let ended = completions().stdout(full).stderr(Stdio::piped()).spawn()?.wait_with_output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.code() == Some(1), "{ended:?}");
    ensure!(said.starts_with("error: cannot write to the standard output: "), "{said}");
    Ok(())
}

#[test]
fn where_there_is_no_project() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
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
