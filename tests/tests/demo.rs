//! `tidemill demo`: interrupted, and a month to its end, with no other program on the path and a proxy that answers nothing.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tidemill_core::ErrorKind;
use tidemill_harness::process::ChildProcess;
use tidemill_tests::trained;

use crate::conventions::sources::root;

const PATIENCE: Duration = Duration::from_secs(120);
/// The folder of the demo, named relative to the current one.
const FOLDER: &str = "my demo";

/// `tidemill demo` in a folder, for one month.
fn demo(tidemill: &Path, scratch: &Path) -> Result<Command> {
    let mut command = Command::new(tidemill);
    command
        .args(["demo", "--json", "--months", "1", "--dir", FOLDER, "--data"])
        .arg(root()?.join("templates/flights/data"))
        .current_dir(scratch)
        .env("PATH", "")
        .env("http_proxy", "http://127.0.0.1:9")
        .env_remove("COLUMNS") // where it is set, messages are wrapped
        .env_remove("TIDEMILL_STORE");
    Ok(command)
}

fn fails(output: &Output, kind: ErrorKind, parts: &[&str]) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(kind.exit_code().into()), "{}: {said}", output.status);
    for part in parts {
        ensure!(said.contains(part), "`{part}` is not in {said}");
    }
    Ok(())
}

/// The address of the demo's `tidemill up`, once it serves.
fn wait_for_address(process: &ChildProcess, scratch: &Path) -> Result<String> {
    let file = scratch.join(FOLDER).join("flights/.tidemill/address");
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(&file).unwrap_or_default();
        if let Some(address) = text.trim().strip_prefix("http://") {
            return Ok(address.to_owned());
        }
        let status = process.find_status()?;
        ensure!(status.is_none() && start.elapsed() < PATIENCE, "nothing serves: {status:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_month_is_played_where_an_interrupted_demo_was() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let scratch = tempfile::tempdir()?;
    let said = scratch.path().join("said.txt");
    let mut command = demo(&tidemill, scratch.path())?;
    let first = ChildProcess::spawn(command.stdout(Stdio::null()).stderr(fs::File::create(&said)?))?;
    let address = wait_for_address(&first, scratch.path())?;
    let second = demo(&tidemill, scratch.path())?.output()?;
    fails(&second, ErrorKind::Conflict, &["my demo", "--dir"])?;
    let status = first.terminate(PATIENCE)?;
    let said = fs::read_to_string(said)?;
    ensure!(status.code() == Some(130) && said.contains("interrupted"), "{status}: {said}");
    ensure!(TcpStream::connect(&address).is_err(), "`tidemill up` serves without its demo");

    let output = demo(&tidemill, scratch.path())?.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && said.contains("nothing is downloaded"),
        "{}: {said}",
        output.status
    );
    let summary: Value = serde_json::from_slice(&output.stdout)?;
    let month = &summary["months"][0];
    ensure!(month["rows"].as_u64() > Some(27_000) && month["champion"].is_null(), "{summary}");
    ensure!(
        month["decision"].as_str().is_some_and(|text| text.contains("no training yet")),
        "{summary}"
    );
    let claims = summary["claims"].as_array().context("there are no claims")?;
    let states: Vec<&str> = claims.iter().filter_map(|claim| claim["state"].as_str()).collect();
    ensure!(
        states[0] == "held" && states[1..].iter().all(|state| *state == "not-checked"),
        "{summary}"
    );
    ensure!(
        scratch.path().join(FOLDER).join("flights/tidemill.toml").is_file(),
        "the project is gone"
    );
    Ok(())
}

#[test]
fn missing_months_are_named_before_anything_is_written() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let scratch = tempfile::tempdir()?;
    let data: PathBuf = scratch.path().join("data");
    fs::create_dir(&data)?;
    fs::write(data.join("2013-01.parquet"), "")?;
    let mut command = Command::new(&tidemill);
    let output = command
        .args(["demo", "--months", "2", "--data", "data"])
        .current_dir(scratch.path())
        .env_remove("COLUMNS")
        .output()?;
    fails(
        &output,
        ErrorKind::NotFound,
        &[
            "1 month of flights not found in `data`: `2013-02.parquet`",
            "`2013-01.parquet`",
            "--months 1",
        ],
    )?;
    ensure!(
        !scratch.path().join("tidemill-demo").exists(),
        "a demo that cannot run leaves a folder"
    );
    Ok(())
}
