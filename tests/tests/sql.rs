//! SQL beside predictions: what a query takes, it takes from its run.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tidemill_harness::server::Server;
use tidemill_tests::{small, trained};

/// Peak memory of a process in bytes.
fn peak_memory(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes << 10)
}

fn put(server: &Server, folder: &Path, name: &str, text: &str) -> Result<()> {
    let file = folder.join(name);
    fs::write(&file, text)?;
    server.run_command(&["put", "readings", &file.to_string_lossy()])
}

/// An assertion of a contract that needs five gigabytes: its run fails, and every prediction meanwhile is answered.
#[test]
fn a_list_of_gigabytes_costs_its_run_and_no_prediction() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = trained::project(&tidemill, Path::new(env!("CARGO_TARGET_TMPDIR")), folder.path())?;
    let contract = project.join("contract.toml");
    let assertion = "\n[[sql]]\nname = \"huge\"\ntable = \"max(len(range(650000000 + id * 0))) > 0\"\n";
    fs::write(&contract, fs::read_to_string(&contract)? + assertion)?;
    let server = Server::up(&tidemill, &project, &[])?;
    put(&server, folder.path(), "day-3.csv", &small::csv(&small::day(3)))?;
    let request = small::request("while", &small::day(3)[..20]).to_string();
    let url = format!("{}/v2/models/alarm/infer", server.address);
    let started = Instant::now();
    let letter = loop {
        let answer = ureq::post(&url).header("content-type", "application/json").send(&request)?;
        ensure!(answer.status() == 200, "a prediction was answered with {}", answer.status());
        if let Some(letter) = server.keys("dead/")?.first() {
            break letter.clone();
        }
        ensure!(started.elapsed() < Duration::from_secs(120), "the run did not fail");
        std::thread::sleep(Duration::from_millis(20));
    };
    let letter = server
        .json::<serde_json::Value>(&letter)?
        .context("the letter is gone")?
        .to_string();
    // The query is `validate`'s, of which the message has the beginning.
    for part in ["limit", "WITH typed AS", "1024 MiB of memory"] {
        ensure!(letter.contains(part), "the letter does not have `{part}`: {letter}");
    }
    if cfg!(target_os = "linux") {
        let peak = peak_memory(server.process_id())?;
        ensure!(peak < 1200 << 20, "the process took {} MiB", peak >> 20);
    }
    server.stop()
}

/// The same file under different zones of the machine: the same data files and the same quarantine.
#[test]
fn the_zone_of_the_machine_is_not_in_the_data() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let text = small::csv(&small::day(1)[..200]).replace("Z,", ",") + "1,2024-01-01 12:00:00 PST,north,1,1,1\n";
    let under = |zone: &str| -> Result<BTreeSet<Vec<u8>>> {
        let folder = tempfile::tempdir()?;
        let project = small::project(folder.path())?;
        let server = Server::up(&tidemill, &project, &[("TZ", zone)])?;
        put(&server, folder.path(), "day-1.csv", &text)?;
        let started = Instant::now();
        while server.keys("outcomes/validate/")?.is_empty() {
            ensure!(started.elapsed() < Duration::from_secs(120), "nothing was validated");
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut files = BTreeSet::new();
        for key in [server.keys("datasets/")?, server.keys("quarantine/")?].concat() {
            files.insert(server.runtime.block_on(server.store.get(&key))?.to_vec());
        }
        ensure!(files.len() >= 2, "there are {} files", files.len());
        server.stop()?;
        Ok(files)
    };
    let utc = under("UTC")?;
    for zone in ["America/New_York", "Asia/Kolkata"] {
        ensure!(under(zone)? == utc, "{zone} is in the data");
    }
    Ok(())
}
