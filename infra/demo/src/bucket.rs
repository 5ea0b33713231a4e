//! The year over a real S3 server: once undisturbed, and once while the server refuses connections, stalls, loses answers and is killed.
//! Both times each object must be equal to the one in a folder.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use tidemill_core::Digest;
use tidemill_demo::months::Year;
use tidemill_harness::{
    outages::{self, OutageCounts},
    proxy::Proxy,
    seaweedfs::{BUCKET, SeaweedFs},
    server::{STORE_VARIABLE, Server},
    snapshot,
};

/// The duration of an outage, and of the pause after it.
const FAULT_DURATION: std::time::Duration = std::time::Duration::from_secs(4);

/// The result of one year.
#[derive(Debug, Serialize)]
pub struct ReplayedYear {
    /// SHA-256 of the champion's `model.onnx`.
    pub champion_digest: String,
    /// Versions of the model.
    pub versions: usize,
    /// Requests that were not answered with 200 and a score.
    pub failed_requests: u64,
    /// Wall time.
    pub seconds: f64,
    /// A snapshot of the store.
    #[serde(skip)]
    pub objects: BTreeMap<String, Digest>,
}

/// The `--json` object.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Over a folder.
    pub folder: ReplayedYear,
    /// Over the bucket.
    pub bucket: ReplayedYear,
    /// Over the bucket while its server was disturbed.
    pub disturbed: ReplayedYear,
    /// The outages.
    pub outages: OutageCounts,
    /// Objects that one of the other stores lacks, holds with other bytes, or holds alone.
    pub differences: Vec<String>,
    /// The champion, if all three have the same one.
    pub champion_digest: Option<String>,
}

/// The months to play, and the programs.
pub struct Setup<'a> {
    /// The `tidemill` program.
    pub tidemill: &'a Path,
    /// SeaweedFS.
    pub seaweedfs: &'a Path,
    /// The folder of the projects and of the server's files.
    pub folder: &'a Path,
    /// The months, in order.
    pub files: &'a [String],
    /// Prints a line of progress for each month.
    pub step: &'a dyn Fn(&str),
}

/// Plays the months three times.
///
/// # Errors
/// If a project, `tidemill up` or the server fails. Differences are not errors: they are part of the summary.
pub fn run(setup: &Setup<'_>) -> Result<Summary> {
    let folder = setup.play("folder", &[], None)?;
    let data = setup.folder.join("seaweedfs");
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    let mut weed = SeaweedFs::start(setup.seaweedfs, &data, None)?;
    let bucket = setup.play("bucket", &store_environment(&weed.endpoint(), "quiet"), None)?;
    let proxy = Proxy::start(weed.port())?;
    let mut disturbing = store_environment(&proxy.endpoint(), "disturbed");
    disturbing.push(("AWS_TIMEOUT".into(), "3s".into()));
    let direct = weed.store("disturbed")?;
    let stop = AtomicBool::new(false);
    let (disturbed, outages) = std::thread::scope(|scope| {
        let thread = scope.spawn(|| outages::inject(&mut weed, &proxy, &stop, FAULT_DURATION));
        let played = setup.play("disturbed", &disturbing, Some(direct));
        stop.store(true, Ordering::SeqCst);
        let outages = thread.join().ok().context("what disturbs the server ended")??;
        Ok::<_, anyhow::Error>((played?, outages))
    })?;
    let mut differences = Vec::new();
    for other in [&bucket, &disturbed] {
        differences.extend(snapshot::diff(&folder.objects, &other.objects));
    }
    let one = [&bucket, &disturbed]
        .iter()
        .all(|other| other.champion_digest == folder.champion_digest);
    Ok(Summary {
        champion_digest: one.then(|| folder.champion_digest.clone()),
        folder,
        bucket,
        disturbed,
        outages,
        differences,
    })
}

fn store_environment(endpoint: &str, prefix: &str) -> Vec<(String, String)> {
    let mut environment = SeaweedFs::environment(endpoint);
    environment.push((STORE_VARIABLE.into(), format!("s3://{BUCKET}/{prefix}")));
    environment
}

impl Setup<'_> {
    fn play(&self, name: &str, environment: &[(String, String)], look: Option<tidemill_host::Store>) -> Result<ReplayedYear> {
        let started = Instant::now();
        let borrowed: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let server = Server::start(self.tidemill, &self.folder.join(name), &borrowed)?;
        let server = match look {
            Some(store) => server.with_store(store),
            None => server,
        };
        let mut year = Year::default();
        for file in self.files {
            let month = year.play(&server, file)?;
            (self.step)(&format!(
                "{name} {}: {} flights, {} predicted",
                month.month, month.rows, month.predicted
            ));
        }
        let champion = server.champion("late")?.context("there is no champion")?;
        let objects = server.runtime.block_on(snapshot::of_store(&server.store))?;
        server.stop()?;
        Ok(ReplayedYear {
            champion_digest: champion.onnx_digest.to_string(),
            versions: objects.keys().filter(|key| key.starts_with("models/late/versions/")).count(),
            failed_requests: year.failed_requests(),
            seconds: started.elapsed().as_secs_f64(),
            objects,
        })
    }
}

impl Summary {
    /// Fails unless all three stores are equal.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.differences.is_empty(),
            "the stores differ: {:#?}",
            &self.differences[..self.differences.len().min(20)]
        );
        ensure!(self.champion_digest.is_some(), "the champions differ");
        ensure!(
            self.bucket.failed_requests == 0,
            "{} requests failed without a disturbance",
            self.bucket.failed_requests
        );
        let OutageCounts {
            refused,
            stalled,
            restarted,
            lost_answers,
        } = self.outages;
        ensure!(
            refused > 0 && stalled > 0 && restarted > 0 && lost_answers > 0,
            "not everything was tried: {:?}",
            self.outages
        );
        Ok(())
    }
}
