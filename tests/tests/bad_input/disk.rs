//! A disk that is full: predictions and data are refused, what runs waits, and with room again all goes on and nothing that was
//! acknowledged is lost.
//!
//! The disk is a small tmpfs where this process may mount one; elsewhere a limit on the size of files plays its part.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tidemill_harness::{http::Connection, server::Server};
use tidemill_tests::{prediction_log, small, trained};

use super::{fails, keep};

const INFER: &str = "/v2/models/alarm/infer";
const JSON: &str = "content-type: application/json";
/// Rows in a request: the log reserves its file by the megabyte, and that must be used up soon.
const ROWS: usize = 200;
/// More than the trained project takes.
const SIZE: u64 = 256 << 20;

/// Where the project lies, and how it becomes full.
enum Disk {
    Mounted(PathBuf),
    /// Files of the process cannot grow beyond a limit; `SIGXFSZ` is ignored, so that it is told by an error.
    Limited(PathBuf),
}

impl Disk {
    fn new(folder: &Path) -> Result<Self> {
        let at = folder.join("disk");
        fs::create_dir(&at)?;
        let size = format!("size={SIZE}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Ok(Self::Mounted(at));
        }
        eprintln!("no right to mount a tmpfs: a limit on the size of files takes its place");
        Ok(Self::Limited(at))
    }

    fn folder(&self) -> &Path {
        match self {
            Self::Mounted(at) | Self::Limited(at) => at,
        }
    }

    /// What to start in place of `tidemill`.
    fn program(&self, tidemill: &Path, folder: &Path) -> Result<PathBuf> {
        if matches!(self, Self::Mounted(_)) {
            return Ok(tidemill.to_owned());
        }
        let script = folder.join("limited");
        fs::write(&script, format!("#!/bin/sh\ntrap '' XFSZ\nexec '{}' \"$@\"\n", tidemill.display()))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        Ok(script)
    }

    /// Leaves no room but these bytes.
    fn fill(&self, process: u32, but: u64) -> Result<()> {
        let Self::Mounted(at) = self else {
            return limit(process, &but.max(1).to_string());
        };
        let mut filler = File::options().create(true).append(true).open(at.join("filler"))?;
        let block = vec![7; 1 << 16];
        while filler.write_all(&block).is_ok() {}
        while filler.write_all(&block[..512]).is_ok() {}
        let length = filler.metadata()?.len();
        Ok(filler.set_len(length - but.next_multiple_of(4096))?)
    }

    fn make_room(&self, process: u32) -> Result<()> {
        match self {
            Self::Mounted(at) => Ok(fs::remove_file(at.join("filler"))?),
            Self::Limited(_) => limit(process, "unlimited"),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Mounted(at) = self {
            let _ = Command::new("umount").arg("--lazy").arg(at).status();
        }
    }
}

fn limit(process: u32, bytes: &str) -> Result<()> {
    let status = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--fsize={bytes}:")])
        .status()
        .context("`prlimit` of util-linux is needed where no tmpfs can be mounted")?;
    ensure!(status.success(), "`prlimit` ended with {status}");
    Ok(())
}

/// Asks until the answer has another status than 200; how many were acknowledged before.
fn until_refused(connection: &mut Connection) -> Result<(u64, String)> {
    for n in 0..10_000 {
        let answer = ask(connection, &format!("full-{n}"))?;
        if answer.0 != 200 {
            ensure!(answer.0 == 503, "{answer:?}");
            return Ok((n, answer.1));
        }
    }
    anyhow::bail!("the disk is full, and predictions are still acknowledged")
}

fn ask(connection: &mut Connection, id: &str) -> Result<(u16, String)> {
    let body = small::request(id, &small::day(3)[..ROWS]).to_string();
    let answer = connection.request("POST", INFER, &[JSON], body.as_bytes())?;
    Ok((answer.status, answer.error().to_owned()))
}

/// Gives the log room until all that was acknowledged is Parquet: its files would go, and make room, when there must be none.
fn sealed(disk: &Disk, process: u32, project: &Path) -> Result<()> {
    disk.fill(process, 16 << 20)?;
    let patience = Instant::now() + Duration::from_secs(60);
    while Instant::now() < patience {
        let mut left = fs::read_dir(project.join(".tidemill/log"))?.flatten();
        if !left.any(|file| file.path().extension().is_some_and(|ending| ending == "wal")) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("with room again, the prediction log is not sealed")
}

/// Waits until a stage was tried twice and waits for room: `validate`, or what comes of it if that was faster than the disk was full.
fn waits_for_room(disk: &Disk, process: u32, connection: &mut Connection) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(60);
    while Instant::now() < patience {
        disk.fill(process, 0)?;
        let events = connection.request("GET", "/events", &[], b"")?.body;
        let full = |reason: &str| ["full", "No space left", "File too large"].iter().any(|part| reason.contains(part));
        let waits = |event: &Value| event["retries"].as_u64() > Some(1) && event["waits-for"].as_str().is_some_and(full);
        if events.as_array().into_iter().flatten().any(waits) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    anyhow::bail!(
        "no stage was tried twice on a full disk: {:?}",
        connection.request("GET", "/events", &[], b"")?
    )
}

#[test]
fn that_is_full_costs_nothing_acknowledged() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let disk = Disk::new(folder.path())?;
    let project = trained::project(&tidemill, keep(), disk.folder())?;
    let program = disk.program(&tidemill, folder.path())?;
    let server = Server::up(&program, &project, &[])?;
    let process = server.process_id();
    let mut connection = Connection::open(&server.address)?;
    ensure!(ask(&mut connection, "before")?.0 == 200);

    disk.fill(process, 0)?;
    let (acknowledged, error) = until_refused(&mut connection)?;
    ensure!(
        error.contains("the prediction log cannot be written") && error.contains("refused until it can"),
        "{error}"
    );
    ensure!(!error.contains('/'), "a client is told a path: {error}");
    for n in 0..50 {
        let answer = ask(&mut connection, &format!("refused-{n}"))?;
        ensure!(answer.0 == 503, "{answer:?}");
    }
    let files = fs::read_dir(project.join(".tidemill/log"))?.count();
    ensure!(files < 10, "each refused prediction leaves a file: there are {files}");
    let csv = small::csv(&small::day(3));
    let answer = connection.request("POST", "/data/readings", &["content-type: text/csv"], csv.as_bytes())?;
    ensure!(
        answer.status == 503 && answer.error().contains("could not be written"),
        "{answer:?}"
    );
    if matches!(disk, Disk::Mounted(_)) {
        let file = folder.path().join("day-3.csv");
        fs::write(&file, &csv)?;
        fails(
            &tidemill,
            &project,
            &["put", "readings", &file.to_string_lossy()],
            5,
            &["is full", "make room"],
        )?;
    }
    ensure!(server.keys("raw/readings/posted")?.is_empty(), "a refused post left an object");

    sealed(&disk, process, &project)?;
    disk.fill(process, 0)?;
    // Room for the rows, and for nothing that comes of them; but what else waits for room may have been first.
    let mut answer = answer;
    for _ in 0..20 {
        disk.fill(process, csv.len() as u64 + (32 << 10))?;
        answer = connection.request("POST", "/data/readings", &["content-type: text/csv"], csv.as_bytes())?;
        disk.fill(process, 0)?;
        if answer.status == 202 {
            break;
        }
    }
    ensure!(answer.status == 202, "the rows had room: {answer:?}");
    waits_for_room(&disk, process, &mut connection)?;
    ensure!(server.keys("dead/")?.is_empty(), "an event was given up");

    disk.make_room(process)?;
    server.wait_for_decision("alarm", "2024-01-03T00-00-00Z")?;
    ensure!(ask(&mut connection, "after")?.0 == 200);
    ensure!(server.status()?["dead"] == 0, "an event was given up");
    server.stop()?;
    let server = Server::up(&program, &project, &[])?;
    let requests = (0..acknowledged)
        .map(|n| format!("full-{n}"))
        .chain(["before".to_owned(), "after".to_owned()]);
    let mut expected: Vec<String> = requests.flat_map(|id| (0..ROWS).map(move |row| format!("{id}/{row}"))).collect();
    expected.sort();
    let logged = prediction_log::ids(&server, "alarm")?;
    ensure!(logged == expected, "{} acknowledged, {} logged", expected.len(), logged.len());
    server.stop()
}
