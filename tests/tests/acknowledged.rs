//! Acknowledged means kept: a hundred thousand predictions with a SIGKILL in the middle, and each that was answered is in Parquet, once.

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Result, ensure};
use tidemill_core::{Host as _, ObjectsExt as _, Table};
use tidemill_harness::reader::open_reader;
use tidemill_harness::server::Server;
use tidemill_tests::{small, trained};

const REQUESTS: u64 = 2_000;
const ROWS: usize = 50;

#[test]
fn a_kill_loses_nothing_acknowledged() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = trained::project(&tidemill, Path::new(env!("CARGO_TARGET_TMPDIR")), folder.path())?;
    let server = Server::up(&tidemill, &project, &[])?;
    let acknowledged = Mutex::new(HashSet::new());
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| -> Result<()> {
        let url = server.address.clone();
        let (next, acknowledged) = (&next, &acknowledged);
        let load = scope.spawn(move || send(&url, next, REQUESTS / 2, acknowledged));
        while next.load(Ordering::Relaxed) < REQUESTS / 4 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // Requests are under way when it dies; what comes after finds nobody.
        server.kill()?;
        load.join().map_err(|_| anyhow::anyhow!("the load failed"))
    })?;
    let before = acknowledged.lock().map(|a| a.len()).unwrap_or_default();
    let server = Server::up(&tidemill, &project, &[])?;
    next.store(REQUESTS / 2, Ordering::Relaxed);
    send(&server.address, &next, REQUESTS + REQUESTS / 4, &acknowledged);
    server.stop()?;

    let server = Server::up(&tidemill, &project, &[])?;
    let acknowledged = acknowledged.into_inner().unwrap_or_default();
    ensure!(before > 0, "nothing was acknowledged before the kill");
    ensure!(
        acknowledged.len() as u64 >= REQUESTS * ROWS as u64 * 9 / 10,
        "only {} acknowledged",
        acknowledged.len()
    );
    let host = open_reader(&server, "log")?;
    let keys: Vec<String> = host.objects().list_all("predictions/alarm/")?.into_iter().map(|m| m.key).collect();
    let batches = tidemill_sdk::query_batches(host.sql(), "SELECT _id FROM log", &[Table::parquet("log", keys)])?;
    let mut logged = HashSet::new();
    let mut twice = 0;
    for batch in &batches {
        for id in tidemill_sdk::column_text(batch, "_id")?.into_iter().flatten() {
            twice += u64::from(!logged.insert(id));
        }
    }
    let lost: Vec<&String> = acknowledged.iter().filter(|id| !logged.contains(*id)).collect();
    ensure!(
        lost.is_empty(),
        "{} acknowledged predictions are not in Parquet: {:?}",
        lost.len(),
        &lost[..lost.len().min(3)]
    );
    ensure!(twice == 0, "{twice} predictions are in Parquet twice");
    eprintln!(
        "{} acknowledged ({before} before the kill), {} in Parquet",
        acknowledged.len(),
        logged.len()
    );
    server.stop()
}

/// Four clients ask until request `last`.
fn send(address: &str, next: &AtomicU64, last: u64, acknowledged: &Mutex<HashSet<String>>) {
    let readings = small::day(3);
    let url = format!("{address}/v2/models/alarm/infer");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let agent = ureq::Agent::new_with_defaults();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= last {
                        return;
                    }
                    let id = format!("load-{n}");
                    let request = small::request(&id, &readings[..ROWS]).to_string();
                    let answer = agent.post(&url).header("content-type", "application/json").send(&request);
                    if answer.is_ok_and(|a| a.status() == 200)
                        && let Ok(mut set) = acknowledged.lock()
                    {
                        set.extend((0..ROWS).map(|row| format!("{id}/{row}")));
                    }
                }
            });
        }
    });
}
