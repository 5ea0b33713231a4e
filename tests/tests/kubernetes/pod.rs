//! A pod of a manifest on this machine. Its volumes are folders that outlive its process, as an `emptyDir` outlives a container.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::project_files;

/// Until a pod is ready: it may compile the components.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Until a pod has ended after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// Where the container would listen.
const LISTENING: &str = "0.0.0.0:8080";
/// Shared with the other tests: machine code that was compiled once.
const CACHE: &str = "XDG_CACHE_HOME";

/// A running process. It is killed when it is dropped.
pub(super) struct Pod {
    child: Child,
    folder: PathBuf,
    /// `http://127.0.0.1:<port>`.
    pub(super) address: String,
}

impl Pod {
    /// Starts the pod of a workload, with `secret` as the variables of its Secret and its volumes below `folder`, and waits until it is ready.
    pub(super) fn start(tidemill: &Path, objects: &[Value], workload: &Value, secret: &[(String, String)], folder: &Path) -> Result<Self> {
        let container = &workload["spec"]["template"]["spec"]["containers"][0];
        let mounts = Mounts::make(objects, workload, folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let listening = format!("127.0.0.1:{port}");
        let arguments = texts(&container["args"])?;
        ensure!(arguments.contains(&LISTENING), "{arguments:?}");
        let arguments = arguments.into_iter().map(|argument| argument.replace(LISTENING, &listening));
        let mut command = Command::new(tidemill);
        command
            .args(arguments)
            .current_dir(mounts.resolve(container["workingDir"].as_str().context("no working folder")?));
        for variable in container["env"].as_array().into_iter().flatten() {
            let text = |field: &str| variable[field].as_str().context("a variable lacks a field");
            if text("name")? != CACHE {
                command.env(text("name")?, mounts.resolve(text("value")?));
            }
        }
        command.envs(secret.iter().map(|(name, value)| (name, value)));
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut pod = Self {
            child,
            folder: folder.to_owned(),
            address: format!("http://{listening}"),
        };
        pod.wait_until_ready()?;
        Ok(pod)
    }

    /// Asks as the probes of the manifest do. Before it is ready, the pod says nothing or that it is not.
    fn wait_until_ready(&mut self) -> Result<()> {
        let until = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the pod ended with {status}:\n{}", self.log());
            }
            match self.health() {
                Ok(200) => return Ok(()),
                Ok(503) | Err(_) => {}
                Ok(other) => bail!("/healthz answers {other} before the pod is ready"),
            }
            ensure!(
                Instant::now() < until,
                "the pod is not ready after {START_TIMEOUT:?}:\n{}",
                self.log()
            );
            sleep(Duration::from_millis(50));
        }
    }

    /// The status of the path that the probes ask.
    pub(super) fn health(&self) -> Result<u16> {
        let request = ureq::get(format!("{}/healthz", self.address)).config().http_status_as_error(false);
        let request = request.timeout_global(Some(Duration::from_secs(5))).build();
        Ok(request.call()?.status().as_u16())
    }

    /// Sends SIGKILL, as if it took too much memory.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends SIGTERM, as the end of a pod begins.
    pub(super) fn terminate(&self) -> Result<()> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "the pod is gone");
        Ok(())
    }

    /// Waits for the end of what [`terminate`](Self::terminate) began.
    pub(super) fn wait(mut self) -> Result<()> {
        let until = Instant::now() + STOP_TIMEOUT;
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(
                Instant::now() < until,
                "the pod runs {STOP_TIMEOUT:?} after SIGTERM:\n{}",
                self.log()
            );
            sleep(Duration::from_millis(50));
        };
        ensure!(status.success(), "the pod ended with {status}:\n{}", self.log());
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folders of a pod's mounts.
struct Mounts(Vec<(String, PathBuf)>);

impl Mounts {
    /// Makes them below `folder`, with the project's files in theirs. What an earlier process of the pod left is there.
    fn make(objects: &[Value], workload: &Value, folder: &Path) -> Result<Self> {
        let container = &workload["spec"]["template"]["spec"]["containers"][0];
        let mut mounts = Vec::new();
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let text = |field: &str| mount[field].as_str().context("a mount lacks a field");
            let place = folder.join(text("name")?);
            fs::create_dir_all(&place)?;
            mounts.push((text("mountPath")?.to_owned(), place));
        }
        let mounts = Self(mounts);
        for (path, data) in project_files(objects, workload)? {
            let file = PathBuf::from(mounts.resolve("/project")).join(path);
            fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
            fs::write(file, data)?;
        }
        Ok(mounts)
    }

    /// A path in the pod as one of this machine; other text as it is.
    fn resolve(&self, text: &str) -> String {
        let mount = self.0.iter().find(|(path, _)| path == text);
        mount.map_or_else(|| text.to_owned(), |(_, place)| place.display().to_string())
    }
}

fn texts(value: &Value) -> Result<Vec<&str>> {
    let texts: Option<Vec<&str>> = value.as_array().context("no list")?.iter().map(Value::as_str).collect();
    texts.context("not all of a list is text")
}
