//! `tidemill dev` through fourteen edits, while a client asks for predictions and files arrive: each edit takes effect or is refused with its
//! place, each prediction that was answered is in the log, and each file has an outcome.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tidemill_core::{Decision, Digest, record::OutcomeRecord};
use tidemill_harness::server::Server;
use tidemill_tests::{prediction_log, small, trained};

/// How long an edit may take to show.
const PATIENCE: Duration = Duration::from_secs(60);
/// Readings of a file that arrives.
const ROWS: usize = 20;

/// A project with its running `tidemill dev`; killed when it is dropped.
struct Dev {
    child: Child,
    folder: Folder,
    address: String,
    /// How much of its standard error was looked at.
    seen: usize,
}

/// A project's folder, with its store.
#[derive(Clone)]
struct Folder(PathBuf);

impl Dev {
    fn start(tidemill: &Path, project: &Path) -> Result<Self> {
        let mut child = Command::new(tidemill)
            .args(["dev", "--addr", "127.0.0.1:0", "--json"])
            .current_dir(project)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(project.with_extension("stderr"))?)
            .spawn()?;
        let mut first = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut first)?;
        let started: serde_json::Value = serde_json::from_str(&first).with_context(|| format!("`{first}`"))?;
        ensure!(
            started["project"] == "small" && started["models"][0]["champion"] == 1,
            "the first line says neither project nor champion: {started}"
        );
        Ok(Self {
            child,
            folder: Folder(project.to_owned()),
            address: started["address"].as_str().context("no address")?.to_owned(),
            seen: 0,
        })
    }

    /// Waits until it has written all of this.
    fn expect(&mut self, parts: &[&str]) -> Result<String> {
        let start = Instant::now();
        loop {
            let whole = self.folder.output()?;
            let output = &whole[self.seen..];
            // A line that is being written is not looked at yet.
            if output.ends_with('\n') && parts.iter().all(|part| output.contains(part)) {
                self.seen = whole.len();
                return Ok(output.to_owned());
            }
            ensure!(
                start.elapsed() < PATIENCE && self.child.try_wait()?.is_none(),
                "{parts:?} is not in what it wrote: {output}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn write(&self, file: &str, text: impl AsRef<[u8]>) -> Result<()> {
        // As editors do: the new file takes the place of the old one.
        let fresh = self.folder.0.join("fresh.tmp");
        fs::write(&fresh, text)?;
        Ok(fs::rename(fresh, self.folder.0.join(file))?)
    }

    /// Edits a file, and waits until that is in effect.
    fn apply(&mut self, file: &str, text: impl AsRef<[u8]>, parts: &[&str]) -> Result<()> {
        self.write(file, text)?;
        self.expect(&[parts, &["in effect"]].concat()).map(drop)
    }

    /// Edits a file, and waits until that is refused.
    fn refuse(&mut self, file: &str, text: impl AsRef<[u8]>, parts: &[&str]) -> Result<()> {
        self.write(file, text)?;
        let output = self.expect(&[parts, &["not taken; what ran before goes on"]].concat())?;
        ensure!(!output.contains("in effect"), "what is wrong took effect: {output}");
        Ok(())
    }

    fn stop(mut self) -> Result<()> {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let status = self.child.wait()?;
        ensure!(
            killed.success() && status.success(),
            "`tidemill dev` ended with {status}: {}",
            self.folder.output()?
        );
        Ok(())
    }
}

impl Folder {
    /// What `tidemill dev` wrote to the standard error.
    fn output(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.0.with_extension("stderr"))?).into_owned())
    }

    fn store(&self, path: &str) -> PathBuf {
        self.0.join(".tidemill/store").join(path)
    }

    /// Puts an object into the store, as another program would.
    fn put(&self, key: &str, text: impl AsRef<[u8]>) -> Result<()> {
        let path = self.store(key);
        let folder = path.parent().context("a key has a folder")?;
        fs::create_dir_all(folder)?;
        let fresh = folder.join(format!(".{}", Digest::sha256(key.as_bytes()).short()));
        fs::write(&fresh, text)?;
        Ok(fs::rename(fresh, path)?)
    }

    /// All outcomes of a stage.
    fn outcomes(&self, stage: &str, resource: &str) -> Result<Vec<OutcomeRecord>> {
        let folder = self.store(&format!("outcomes/{stage}/{resource}"));
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                found.push(serde_json::from_slice(&fs::read(&path)?).with_context(|| path.display().to_string())?);
            }
        }
        Ok(found)
    }

    /// Puts an object, and waits for what a stage decides on it.
    fn decide(&self, stage: &str, resource: &str, key: &str, text: &str) -> Result<OutcomeRecord> {
        self.put(key, text)?;
        self.wait_for_outcome(stage, resource, key)
    }

    fn wait_for_outcome(&self, stage: &str, resource: &str, key: &str) -> Result<OutcomeRecord> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let outcomes = self.outcomes(stage, resource)?;
            if let Some(found) = outcomes.into_iter().find(|outcome| outcome.trigger.key == key) {
                return Ok(found);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{stage} {resource} has no outcome for `{key}`: {}", self.output()?)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Some readings of the third day as a file; no two files have a row in common.
fn file(number: usize) -> String {
    let readings = small::day(3);
    small::csv(&readings[number * ROWS..(number + 1) * ROWS])
}

/// Asks for predictions until `stopping`. Returns the ids of those that were answered; every request must be.
fn predict(address: &str, stopping: &AtomicBool) -> Result<BTreeSet<String>> {
    let readings = small::day(3);
    let agent = ureq::Agent::new_with_defaults();
    let mut answered = BTreeSet::new();
    for number in 0.. {
        if stopping.load(Relaxed) {
            break;
        }
        let id = format!("dev-{number}");
        let body = small::request(&id, &readings[..1]).to_string();
        let answer = agent
            .post(format!("{address}/v2/models/alarm/infer"))
            .header("content-type", "application/json")
            .send(&body)
            .with_context(|| format!("request {number}"))?;
        ensure!(answer.status() == 200, "request {number}: {}", answer.status());
        answered.insert(format!("{id}/0"));
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(answered)
}

/// Stores a file twice a second until `stopping`, the first forty; returns their keys.
fn feed(folder: &Folder, stopping: &AtomicBool) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    while !stopping.load(Relaxed) {
        if keys.len() < 40 {
            let key = format!("raw/readings/live-{}.csv", keys.len());
            folder.put(&key, file(keys.len()))?;
            keys.push(key);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(keys)
}

#[test]
fn ten_edits_and_more_under_load() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let Some(guest) = guest("tidemill_guest_ten_line.wasm")? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let project = trained::project(&tidemill, Path::new(env!("CARGO_TARGET_TMPDIR")), folder.path())?;
    let mut dev = Dev::start(&tidemill, &project)?;
    dev.expect(&["watching `tidemill.toml`"])?;
    let at = dev.folder.clone();
    let stopping = AtomicBool::new(false);
    let (answered, files) = std::thread::scope(|scope| -> Result<_> {
        let (address, stopping) = (dev.address.clone(), &stopping);
        let load = scope.spawn(move || predict(&address, stopping));
        let feeding = scope.spawn(move || feed(&at, stopping));
        let edited = edit(&mut dev, &guest);
        stopping.store(true, Relaxed);
        let answered = load.join().map_err(|_| anyhow::anyhow!("the client panicked"))?;
        let files = feeding.join().map_err(|_| anyhow::anyhow!("the feeder panicked"))?;
        edited?;
        Ok((answered?, files?))
    })?;
    for key in &files {
        dev.folder.wait_for_outcome("validate", "readings", key)?;
    }
    ensure!(
        !dev.folder.store("dead").exists() || fs::read_dir(dev.folder.store("dead"))?.next().is_none(),
        "an event failed"
    );
    dev.stop()?;
    ensure!(
        answered.len() > 100 && files.len() > 5,
        "{} predictions, {} files",
        answered.len(),
        files.len()
    );
    let server = Server::up(&tidemill, &project, &[])?;
    let logged: BTreeSet<String> = prediction_log::ids(&server, "alarm")?.into_iter().collect();
    let lost: Vec<&String> = answered.difference(&logged).collect();
    ensure!(
        lost.is_empty(),
        "{} answered predictions are not in the log: {:?}",
        lost.len(),
        &lost[..1]
    );
    // The one that warmed the instances up is not.
    let strange: Vec<&String> = logged.iter().filter(|id| !id.starts_with("dev-")).collect();
    ensure!(
        strange.is_empty(),
        "the log holds predictions that no client asked for: {strange:?}"
    );
    eprintln!("{} predictions and {} files: all there", answered.len(), files.len());
    server.stop()
}

fn edit(dev: &mut Dev, guest: &[u8]) -> Result<()> {
    let read = |dev: &Dev, file: &str| fs::read_to_string(dev.folder.0.join(file));
    let (toml, contract, sql) = (read(dev, "tidemill.toml")?, read(dev, "contract.toml")?, read(dev, "features.sql")?);

    // SQL: an edit that is right, one that is wrong, and back.
    let narrower = sql.replace("FROM readings", "FROM readings WHERE speed >= 0");
    let parts = [
        "`features.sql` changed",
        "version 1 stays the champion",
        "`tidemill run retrain alarm`",
    ];
    dev.apply("features.sql", &narrower, &parts)?;
    let misspelt = narrower.replace("site, level", "site,\n  levle");
    dev.refuse("features.sql", &misspelt, &["features.sql:2:3: ", "levle"])?;
    dev.write("features.sql", &narrower)?;
    dev.expect(&["`features.sql`: nothing that runs differs"])?;
    dev.refuse(
        "features.sql",
        "SELECT id, \"at\", site FROM readings\n",
        &["features.sql:1:1: ", "`alarm`"],
    )?;
    dev.apply_back("features.sql", &sql, &narrower)?;

    // A contract: tighter, broken, and back.
    let tight = contract.replace("speed = { type = \"number\" }", "speed = { type = \"number\", maximum = -1.0 }");
    dev.apply(
        "contract.toml",
        &tight,
        &["`contract.toml` changed", "by the new rules from now on"],
    )?;
    let rejected = dev.folder.decide("validate", "readings", "raw/readings/tight.csv", &file(41))?;
    ensure!(rejected.decision == Decision::Rejected, "{rejected:?}");
    dev.expect(&["✗ rejected readings tight.csv: ", "`speed` is above -1"])?;
    dev.refuse("contract.toml", tight.replace("[columns]", "[columns"), &["contract.toml:1:"])?;
    let rejected = dev
        .folder
        .decide("validate", "readings", "raw/readings/still-tight.csv", &file(42))?;
    ensure!(
        rejected.decision == Decision::Rejected,
        "a refused contract changed the rules: {rejected:?}"
    );
    dev.apply("contract.toml", &contract, &["`contract.toml` changed"])?;
    let good = dev.folder.decide("validate", "readings", "raw/readings/good.csv", &file(43))?;
    ensure!(good.decision == Decision::Done, "{good:?}");
    dev.expect(&["✓ validate readings good.csv in "])?;

    // Another dataset, whose first file lies there already.
    dev.folder.put("raw/more/early.csv", file(44))?;
    let more = format!("{toml}\n[dataset.more]\ncontract = \"contract.toml\"\ntime = \"at\"\nkey = [\"id\"]\n");
    dev.apply("tidemill.toml", &more, &["the dataset `more` is new", "`tidemill put more <file>`"])?;
    ensure!(dev.folder.wait_for_outcome("validate", "more", "raw/more/early.csv")?.decision == Decision::Done);

    // A threshold, and a key that there is not.
    let strict = more.replace("auc >= 0.6", "auc >= 0.7");
    dev.apply("tidemill.toml", &strict, &["[model.alarm]", "next candidate"])?;
    let line = strict.lines().position(|line| line.starts_with("slices")).context("no slices")? + 1;
    let place = format!("tidemill.toml:{line}:");
    let unknown = strict.replace("slices =", "slice =");
    dev.refuse("tidemill.toml", &unknown, &[&place, "unknown field `slice`"])?;

    // A stage whose component is built later, then again, then not to the end.
    let staged =
        format!("{strict}\n[[stage]]\nname = \"count\"\ncomponent = \"out/count.wasm\"\non = \"drop/**\"\nwrites = [\"counts/**\"]\n");
    dev.apply(
        "tidemill.toml",
        &staged,
        &["the stage `count` is new", "`out/count.wasm` is not there yet"],
    )?;
    fs::create_dir(dev.folder.0.join("out"))?;
    let digest = Digest::sha256(guest);
    dev.apply("out/count.wasm", guest, &["`out/count.wasm`", digest.as_str()])?;
    let counted = dev.folder.decide("count", "count", "drop/one", "a\nb\n")?;
    ensure!(counted.component == digest && counted.result["lines"] == 2, "{counted:?}");
    // The same code in another file: a component may have sections of its own.
    let rebuilt = [guest, b"\x00\x05\x04note"].concat();
    let digest = Digest::sha256(&rebuilt);
    dev.apply(
        "out/count.wasm",
        &rebuilt,
        &["the next runs of `count:count` use it", digest.as_str()],
    )?;
    let counted = dev.folder.decide("count", "count", "drop/two", "a\n")?;
    ensure!(counted.component == digest, "{counted:?}");
    dev.refuse("out/count.wasm", &guest[..guest.len() / 2], &["not taken"])?;
    let counted = dev.folder.decide("count", "count", "drop/three", "a\n")?;
    ensure!(counted.component == digest, "a component that was refused ran: {counted:?}");
    dev.write("out/count.wasm", &rebuilt)?;
    dev.expect(&["nothing that runs differs"])?;

    // The state elsewhere would be another project.
    let elsewhere = format!("{staged}\n[store]\npath = \"elsewhere\"\n");
    dev.refuse("tidemill.toml", &elsewhere, &["tidemill.toml: [store]", "restart"])?;

    // A model under another name, and everything as it was.
    let renamed = staged.replace("[model.alarm]", "[model.alert]");
    dev.apply(
        "tidemill.toml",
        &renamed,
        &["the model `alarm` is gone", "the model `alert` is new"],
    )?;
    dev.apply(
        "tidemill.toml",
        &toml,
        &[
            "the model `alarm` is new",
            "the dataset `more` is gone",
            "the stage `count` is gone",
        ],
    )
}

impl Dev {
    /// Puts a file back from `edited`, which is in effect, after another edit of it was refused.
    fn apply_back(&mut self, file: &str, original: &str, edited: &str) -> Result<()> {
        self.write(file, edited)?;
        self.expect(&["nothing that runs differs"])?;
        self.apply(file, original, &[&format!("`{file}` changed")])
    }
}

/// A guest of the tests, if the guests are built.
fn guest(name: &str) -> Result<Option<Vec<u8>>> {
    let folder = std::env::var_os("TIDEMILL_COMPONENTS").map(PathBuf::from);
    let path = folder.map(|folder| folder.join(name)).filter(|path| path.is_file());
    if path.is_none() {
        ensure!(std::env::var_os("CI").is_none(), "`{name}` is not built: run `cargo xtask guests`");
        eprintln!("skipped: `{name}` is not built; `cargo xtask guests` builds it");
    }
    Ok(path.map(fs::read).transpose()?)
}
