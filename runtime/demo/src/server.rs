//! A project and its running `tidemill up`, driven as a user would. It is killed when it is dropped, so that a failed demo leaves nothing
//! running.

use std::{
    future::Future,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::de::DeserializeOwned;
use tidemill_core::{ErrorKind, record::ModelAlias};
use tidemill_host::Store;

use crate::{command::run, process::ChildProcess};

/// The variable with the location of the store.
pub const STORE_VARIABLE: &str = "TIDEMILL_STORE";

/// The variable with the address to listen at; without it a free port is used.
pub const ADDRESS_VARIABLE: &str = "TIDEMILL_ADDR";

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the pipeline may take for a file.
const PIPELINE_TIMEOUT: Duration = Duration::from_secs(900);

/// Lines of the log in the message about a process that ended.
const LOG_LINES: usize = 5;

/// How long reads of an unavailable store are retried.
const STORE_TIMEOUT: Duration = Duration::from_secs(120);

/// How long `tidemill up` may take to end: a stage that runs finishes first.
const STOP_TIMEOUT: Duration = Duration::from_secs(300);

/// A client of programs on this machine: it uses no proxy, whatever the environment names, and no request waits forever.
pub fn new_agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    config.proxy(None).timeout_global(Some(REQUEST_TIMEOUT)).build().into()
}

/// A project with its running `tidemill up`.
pub struct Server {
    process: ChildProcess,
    agent: ureq::Agent,
    tidemill: PathBuf,
    /// The variables of the store, for commands.
    environment: Vec<(String, String)>,
    /// The project's folder.
    pub project: PathBuf,
    /// `http://127.0.0.1:<port>`.
    pub address: String,
    /// The project's store, to read it.
    pub store: Store,
    /// Runs the futures of the store.
    pub runtime: tokio::runtime::Runtime,
}

impl Server {
    /// Runs `tidemill new` with the flights template, then `tidemill up` with these variables.
    pub fn start(tidemill: &Path, project: &Path, environment: &[(&str, &str)]) -> Result<Self> {
        if project.exists() {
            std::fs::remove_dir_all(project).with_context(|| format!("`{}` cannot be removed", project.display()))?;
        }
        let folder = project.parent().context("the project needs a folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("`{}` cannot be created", folder.display()))?;
        run(Command::new(tidemill).args(["new", "--template", "flights"]).arg(project))?;
        run(Command::new(tidemill).arg("check").env_remove(STORE_VARIABLE).current_dir(project))?;
        Self::up(tidemill, project, environment)
    }

    /// Runs `tidemill up` in a project with these variables; `TIDEMILL_STORE` and the AWS variables locate the store. Its log is
    /// `<project>.log`.
    pub fn up(tidemill: &Path, project: &Path, environment: &[(&str, &str)]) -> Result<Self> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log_file(project))
            .with_context(|| format!("`{}` cannot be written", log_file(project).display()))?;
        let address = environment.iter().find(|(name, _)| *name == ADDRESS_VARIABLE);
        let mut command = Command::new(tidemill);
        command
            .args(["up", "--addr", address.map_or("127.0.0.1:0", |(_, address)| address)])
            .current_dir(project)
            // A store of the caller's is not the demo's.
            .env_remove(STORE_VARIABLE)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log);
        let process = ChildProcess::spawn(&mut command).with_context(|| format!("`{}` cannot be started", tidemill.display()))?;
        let output = process.take_stdout().context("`tidemill up` has no output")?;
        let mut lines = BufReader::new(output).lines();
        let address = loop {
            let Some(line) = lines.next() else {
                let status = process.terminate(STOP_TIMEOUT)?;
                bail!("`tidemill up` ended with {status} before it was ready; {}", log_end(project))
            };
            if let Some((_, rest)) = line?.split_once("http://") {
                let end = rest
                    .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'))
                    .unwrap_or(rest.len());
                break format!("http://{}", &rest[..end]);
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        let runtime = tokio::runtime::Runtime::new()?;
        let store = match environment.iter().find(|(name, _)| *name == STORE_VARIABLE) {
            Some((_, location)) => Store::open_with(location, environment)?,
            None => Store::local(&project.join(".tidemill/store"))?,
        };
        let of_store = environment
            .iter()
            .filter(|(name, _)| *name == STORE_VARIABLE || name.starts_with("AWS_"));
        Ok(Self {
            environment: of_store.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            process,
            agent: new_agent(),
            tidemill: tidemill.to_owned(),
            project: project.to_owned(),
            address,
            store,
            runtime,
        })
    }

    /// Reads the store by another endpoint than the process does.
    #[must_use]
    pub fn with_store(mut self, store: Store) -> Self {
        self.store = store;
        self
    }

    /// Whether the process is running.
    pub fn is_running(&self) -> bool {
        matches!(self.process.find_status(), Ok(None))
    }

    /// The process's id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// `{"quiet": …, "dead": …}`.
    pub fn status(&self) -> Result<serde_json::Value> {
        self.get_json("/status")
    }

    /// What the process answers to GET, which is JSON.
    pub fn get_json(&self, path: &str) -> Result<serde_json::Value> {
        let url = format!("{}{path}", self.address);
        let mut answer = self.agent.get(&url).call().with_context(|| format!("no answer from {url}"))?;
        answer.body_mut().read_json().with_context(|| format!("no JSON from {url}"))
    }

    /// Sends SIGKILL.
    pub fn kill(self) -> Result<()> {
        self.process.kill()?;
        Ok(())
    }

    /// Runs `tidemill <arguments>` in the project.
    pub fn run_command(&self, arguments: &[&str]) -> Result<()> {
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        run(Command::new(&self.tidemill)
            .args(arguments)
            .env_remove(STORE_VARIABLE)
            .envs(environment)
            .current_dir(&self.project))
    }

    /// Waits until `retrain` decided on the window with this start and the pipeline is idle.
    pub fn wait_for_decision(&self, model: &str, start: &str) -> Result<()> {
        let key = format!("decisions/{model}/{start}.json");
        let patience = Instant::now() + PIPELINE_TIMEOUT;
        while self.json::<serde_json::Value>(&key)?.is_none() {
            ensure!(
                Instant::now() < patience,
                "`{key}` is not there after {} s; {}",
                PIPELINE_TIMEOUT.as_secs(),
                self.advice()
            );
            self.is_idle()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        self.wait_until_idle()
    }

    /// Waits until the pipeline is idle.
    pub fn wait_until_idle(&self) -> Result<()> {
        let patience = Instant::now() + PIPELINE_TIMEOUT;
        while Instant::now() < patience {
            if self.is_idle()? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the pipeline is not idle after {} s; {}", PIPELINE_TIMEOUT.as_secs(), self.advice())
    }

    /// Whether the pipeline is idle; `false` while the store is unavailable.
    fn is_idle(&self) -> Result<bool> {
        if let Some(status) = self.process.find_status()? {
            bail!("`tidemill up` ended with {status}; {}", log_end(&self.project))
        }
        let status = match self.status() {
            Err(_) if self.store.bucket().is_some() => return Ok(false),
            other => other?,
        };
        ensure!(
            status["dead"] == 0,
            "{} events failed for good, which must not happen here; {}",
            status["dead"],
            self.advice()
        );
        Ok(status["quiet"] == true)
    }

    /// Where to look for the cause of a failure.
    fn advice(&self) -> String {
        format!(
            "in `{}`, `tidemill events` lists what waits or failed; its log is `{}`",
            self.project.display(),
            log_file(&self.project).display()
        )
    }

    /// Reads a JSON object.
    pub fn json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        match self.retry_read(|| self.store.get(key)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("`{key}`"))?)),
            Err(e) if e.kind == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Writes an object as another program would, unless it exists.
    pub fn create(&self, key: &str, bytes: impl Into<Vec<u8>>) -> Result<()> {
        let bytes: Vec<u8> = bytes.into();
        self.runtime.block_on(self.store.create(key, bytes.into()))?;
        Ok(())
    }

    /// All keys under a prefix.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let listed = self.retry_read(|| self.store.list(prefix, None, 10_000))?;
        Ok(listed.into_iter().map(|m| m.key).collect())
    }

    /// Retries a read while the store is unavailable: a restart of its server may take longer than its client waits.
    fn retry_read<T, F: Future<Output = tidemill_core::Result<T>>>(&self, ask: impl Fn() -> F) -> tidemill_core::Result<T> {
        let until = Instant::now() + STORE_TIMEOUT;
        loop {
            match self.runtime.block_on(ask()) {
                Err(error) if error.kind.is_retryable() && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                answered => return answered,
            }
        }
    }

    /// The champion alias, if there is one.
    pub fn champion(&self, model: &str) -> Result<Option<ModelAlias>> {
        self.json(&format!("models/{model}/aliases/champion.json"))
    }

    /// Stops the process and waits for its end.
    pub fn stop(self) -> Result<()> {
        let status = self.process.terminate(STOP_TIMEOUT).context("`tidemill up` does not end")?;
        ensure!(status.success(), "`tidemill up` ended with {status}; {}", log_end(&self.project));
        Ok(())
    }
}

/// What `tidemill up` writes to its standard error.
fn log_file(project: &Path) -> PathBuf {
    project.with_extension("log")
}

/// The last lines of the log, for a message.
fn log_end(project: &Path) -> String {
    let path = log_file(project);
    let text = std::fs::read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines.split_at(lines.len().saturating_sub(LOG_LINES)).1 {
        [] => format!("its log `{}` is empty", path.display()),
        last => format!("its log `{}` ends with\n{}", path.display(), last.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_log_is_shown() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let project = folder.path().join("flights");
        assert!(log_end(&project).ends_with("flights.log` is empty"));
        let lines: Vec<String> = (1..=9).map(|n| format!("line {n}\n\n")).collect();
        std::fs::write(log_file(&project), lines.concat())?;
        let end = log_end(&project);
        assert!(end.contains("ends with\nline 5\nline 6") && end.ends_with("line 9"), "{end}");
        Ok(())
    }

    #[test]
    fn this_machine_is_reached_without_a_proxy() {
        assert!(new_agent().config().proxy().is_none());
    }
}
