//! The process is killed at each step of the chain, many times, and started again: the store ends as if nothing had happened.
//! The same with every event delivered three times and shuffled.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tidemill_harness::{server::Server, snapshot};
use tidemill_tests::{small, trained};

const DAYS: u64 = 5;
/// The failpoints of a run; `runtime/run/src/failpoint.rs` has the same list.
const STEPS: [&str; 9] = [
    "queue-put",
    "before-run",
    "after-run",
    "before-commit",
    "after-commit",
    "after-route",
    "window-log",
    "window-create",
    "ack",
];

/// The failpoint that ends the process when a step is passed for the given time.
fn kill_at(step: &str, times: u32) -> String {
    match times {
        1 => format!("{step}=return"),
        times => format!("{step}={}*off->return", times - 1),
    }
}

/// Plays the days; whenever the process is gone, starts it again with the next planned kill.
struct Driver {
    tidemill: PathBuf,
    project: PathBuf,
    environment: Vec<(String, String)>,
    plan: std::vec::IntoIter<String>,
    server: Option<Server>,
    kills: usize,
    /// Whether each death also costs the queue's file.
    lose_queue: bool,
}

impl Driver {
    fn new(tidemill: &Path, folder: &Path, environment: &[(&str, &str)], plan: Vec<String>) -> Result<Self> {
        let project = small::project(folder)?;
        // A planned kill is no fault of the event that it meets, however often that happens.
        let environment = environment.iter().copied().chain([("TIDEMILL_FORGET_UNFINISHED", "1")]);
        let environment = environment.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Ok(Self {
            tidemill: tidemill.to_owned(),
            project,
            environment,
            plan: plan.into_iter(),
            server: None,
            kills: 0,
            lose_queue: false,
        })
    }

    fn server(&mut self) -> Result<&Server> {
        for _ in 0..100 {
            if self.server.as_ref().is_some_and(Server::is_running) {
                break;
            }
            self.kills += usize::from(self.server.take().is_some());
            let mut environment: Vec<(&str, &str)> = self.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            if self.lose_queue {
                let _ = std::fs::remove_file(self.project.join(".tidemill/queue.redb"));
            }
            let kill = self.plan.next();
            if let Some(kill) = &kill {
                environment.push(("FAILPOINTS", kill));
            }
            match Server::up(&self.tidemill, &self.project, &environment) {
                Ok(server) => self.server = Some(server),
                // Killed before it was ready: the plan goes on.
                Err(_) if kill.is_some() => self.kills += 1,
                Err(e) => return Err(e),
            }
        }
        self.server.as_ref().context("`tidemill up` does not start")
    }

    /// Does it, again if the process was killed meanwhile.
    fn persist<T>(&mut self, mut action: impl FnMut(&Server) -> Result<T>) -> Result<T> {
        for _ in 0..200 {
            match action(self.server()?) {
                Ok(done) => return Ok(done),
                Err(e) => {
                    std::thread::sleep(Duration::from_millis(100));
                    if self.server.as_ref().is_some_and(Server::is_running) {
                        return Err(e);
                    }
                }
            }
        }
        bail!("killed too often")
    }

    fn play(&mut self) -> Result<()> {
        for day in 1..=DAYS {
            let readings = small::day(day);
            if self.persist(|server| server.champion("alarm"))?.is_some() {
                for (n, batch) in readings.chunks(120).enumerate() {
                    let request = small::request(&format!("day-{day}-{n}"), batch).to_string();
                    self.persist(|server| {
                        let url = format!("{}/v2/models/alarm/infer", server.address);
                        let answer = ureq::post(url).header("content-type", "application/json").send(&request)?;
                        ensure!(answer.status() == 200, "status {}", answer.status());
                        Ok(())
                    })?;
                }
            }
            let file = self.project.with_file_name(format!("day-{day}.csv"));
            std::fs::write(&file, small::csv(&readings))?;
            let file = file.to_string_lossy().into_owned();
            self.persist(|server| server.run_command(&["put", "readings", &file]))?;
            let start = format!("2024-01-{day:02}T00-00-00Z");
            self.persist(|server| server.wait_for_decision("alarm", &start))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(std::collections::BTreeMap<String, tidemill_core::Digest>, usize)> {
        let store = self.project.join(".tidemill/store");
        if let Some(server) = self.server.take() {
            server.stop()?;
        }
        Ok((snapshot::of_folder(&store)?, self.kills))
    }
}

fn undisturbed(tidemill: &Path) -> Result<std::collections::BTreeMap<String, tidemill_core::Digest>> {
    let folder = tempfile::tempdir()?;
    let mut driver = Driver::new(tidemill, folder.path(), &[], vec![])?;
    driver.play()?;
    let (store, _) = driver.finish()?;
    let count = |prefix: &str| store.keys().filter(|k| k.starts_with(prefix)).count();
    ensure!(count("reports/alarm/") >= 5, "no reports: {:?}", store.keys());
    ensure!(count("models/alarm/versions/") >= 2, "it was never retrained: {:?}", store.keys());
    Ok(store)
}

#[test]
fn killed_at_each_step() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let expected = undisturbed(&tidemill)?;
    // A window closes five times in all: waiting for its second or third passing would let the process live too long.
    let rounds = [1, 2, 1, 1].into_iter();
    let plan: Vec<String> = rounds
        .flat_map(|n| {
            STEPS
                .into_iter()
                .filter(move |step| n == 1 || !step.starts_with("window"))
                .map(move |step| kill_at(step, n))
        })
        .collect();
    let folder = tempfile::tempdir()?;
    let mut driver = Driver::new(&tidemill, folder.path(), &[], plan)?;
    driver.play()?;
    let (found, kills) = driver.finish()?;
    let difference = snapshot::diff(&expected, &found);
    ensure!(difference.is_empty(), "after {kills} kills the store differs: {difference:#?}");
    ensure!(kills >= 20, "only {kills} kills happened");
    eprintln!("{kills} kills, {} objects equal", found.len());
    Ok(())
}

#[test]
fn every_event_three_times_and_shuffled() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let expected = undisturbed(&tidemill)?;
    let folder = tempfile::tempdir()?;
    let mut driver = Driver::new(&tidemill, folder.path(), &[("TIDEMILL_REDELIVER", "3,17")], vec![])?;
    driver.play()?;
    let (found, _) = driver.finish()?;
    let difference = snapshot::diff(&expected, &found);
    ensure!(difference.is_empty(), "the store differs: {difference:#?}");
    Ok(())
}

#[test]
fn the_queue_may_be_lost() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let expected = undisturbed(&tidemill)?;
    let folder = tempfile::tempdir()?;
    let plan = [("after-run", 2), ("before-commit", 3), ("queue-put", 6), ("ack", 9)]
        .map(|(step, times)| kill_at(step, times))
        .to_vec();
    let mut driver = Driver::new(&tidemill, folder.path(), &[], plan)?;
    driver.lose_queue = true;
    driver.play()?;
    let (found, _) = driver.finish()?;
    let difference = snapshot::diff(&expected, &found);
    ensure!(difference.is_empty(), "the store differs: {difference:#?}");
    Ok(())
}
