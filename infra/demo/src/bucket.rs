//! The year over a real S3 server: once undisturbed, once while the server refuses, stalls, loses answers and is killed. Each time every
//! object must be the one that a folder would have held.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use tidemill_core::Digest;

use crate::{
    months::Year,
    outages::{self, OutageCounts},
    proxy::Proxy,
    seaweedfs::{BUCKET, SeaweedFs},
    server::{STORE_VARIABLE, Server},
    snapshot,
};

/// How long the server is disturbed in one way, and then left alone.
const FAULT_DURATION: std::time::Duration = std::time::Duration::from_secs(4);

/// What one year came to.
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
    /// What the store holds, but for what says how runs went.
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
    /// How.
    pub outages: OutageCounts,
    /// Objects of the folder's store that one of the others lacks, or has with other bytes, and objects that only they have.
    pub differences: Vec<String>,
    /// The champion of all three, if it is one.
    pub champion_digest: Option<String>,
}

/// What is played, and with what.
pub struct Setup<'a> {
    /// The `tidemill` program.
    pub tidemill: &'a Path,
    /// SeaweedFS.
    pub weed: &'a Path,
    /// Where projects and the server's files go.
    pub folder: &'a Path,
    /// The months, in order.
    pub files: &'a [String],
    /// Gets a line of progress a month.
    pub step: &'a dyn Fn(&str),
}

/// Plays the months three times.
///
/// # Errors
/// What failed in a project, in `tidemill up` or in the server. Differences are no error; they are in the summary.
pub fn run(setup: &Setup<'_>) -> Result<Summary> {
    let folder = setup.play("folder", &[], None)?;
    let data = setup.folder.join("seaweedfs");
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    let mut weed = SeaweedFs::start(setup.weed, &data, None)?;
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
    /// Fails unless the three are one.
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
