//! A server that stops says so first, then takes no more connections, and answers what it has taken.

use std::{path::Path, process::Command, thread::sleep, time::Duration};

use anyhow::{Result, ensure};
use tidemill_harness::{http::Connection, server::Server};
use tidemill_tests::trained;

use super::{ask, infer};

#[test]
fn a_server_that_stops_says_so_first() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let project = trained::project(&tidemill, Path::new(env!("CARGO_TARGET_TMPDIR")), folder.path())?;
    let file = project.join("tidemill.toml");
    let text = std::fs::read_to_string(&file)? + "\n[serve]\nstop-delay-seconds = 2\n";
    std::fs::write(&file, text)?;
    let server = Server::up(&tidemill, &project, &[])?;
    let mut connection = Connection::open(&server.address)?;
    let mut status = |path: &str| -> Result<u16> { Ok(connection.request("GET", path, &[], b"")?.status) };
    ensure!((status("/v2/health/ready")?, status("/healthz")?) == (200, 200));
    let slow = infer("slow");
    let mut begun = Connection::open(&server.address)?;
    begun.send(&slow[..slow.len() - 5])?;
    Command::new("kill").args(["-TERM", &server.process_id().to_string()]).status()?;
    sleep(Duration::from_millis(500));
    ensure!((status("/v2/health/ready")?, status("/healthz")?) == (503, 503));
    ensure!(status("/v2/health/live")? == 200, "it still answers");
    ensure!(ask(&server.address, &infer("new"))?.status == 200, "it still accepts connections");
    sleep(Duration::from_millis(2500));
    ensure!(Connection::open(&server.address).is_err(), "it accepts connections after the delay");
    begun.send(&slow[slow.len() - 5..])?;
    ensure!(begun.read_response()?.status == 200, "an accepted request is not answered");
    server.stop()
}
