//! The two emulators, and a process for each function. All are killed when their owner is dropped.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

/// cargo-lambda's server, and optionally moto's.
pub struct Emulators {
    /// `127.0.0.1:<port>` of Lambda's APIs.
    pub lambda: String,
    folder: PathBuf,
    processes: Vec<(String, Child)>,
}

impl Emulators {
    /// Starts both, with their logs in `folder`. `aws` is the endpoint of S3, SQS and EventBridge (`http://127.0.0.1:<port>`), `functions`
    /// are the names of all functions that will be started.
    pub fn start(folder: &Path, aws: &str, moto: &Path, cargo_lambda: &Path, functions: &[String]) -> Result<Self> {
        let port = aws.rsplit(':').next().context("the address of S3 has no port")?;
        let mut emulators = Self::start_lambda(folder, cargo_lambda, functions)?;
        let mut command = Command::new(moto);
        emulators.spawn("moto", command.args(["-H", "127.0.0.1", "-p", port]))?;
        emulators.wait_for(aws.trim_start_matches("http://"))?;
        Ok(emulators)
    }

    /// Starts cargo-lambda alone.
    pub fn start_lambda(folder: &Path, cargo_lambda: &Path, functions: &[String]) -> Result<Self> {
        let mut emulators = Self {
            lambda: format!("127.0.0.1:{}", free_port()?),
            folder: folder.to_owned(),
            processes: Vec::new(),
        };
        let mut command = Command::new(cargo_lambda);
        command.args([
            "lambda",
            "watch",
            "--only-lambda-apis",
            "--invoke-address",
            "127.0.0.1",
            "--invoke-port",
        ]);
        command
            .arg(emulators.lambda.trim_start_matches("127.0.0.1:"))
            .current_dir(project(folder, functions)?);
        emulators.spawn("cargo-lambda", &mut command)?;
        emulators.wait_for(&emulators.lambda)?;
        Ok(emulators)
    }

    /// Starts a function as Lambda does, with its own disk.
    pub fn start_function(&mut self, name: &str, program: &Path, arguments: &[PathBuf], store: &str, config: &Value) -> Result<()> {
        let folder = self.folder.join(name);
        fs::create_dir_all(folder.join("tmp"))?;
        // Lambda limits variables to 4 KB, so a package holds its configuration as a file.
        let file = folder.join("node.json");
        fs::write(&file, config.to_string())?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("TIDEMILL_STORE", store)
            .env("TIDEMILL_CONFIG", &file)
            .env("TMPDIR", folder.join("tmp"))
            .env("RUST_LOG", "info")
            .env("AWS_LAMBDA_RUNTIME_API", format!("http://{}/.rt/{name}", self.lambda))
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "3008")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1");
        self.spawn(name, &mut command)
    }

    /// Stops a function. Returns its peak resident memory in bytes, or 0 where the system does not report it.
    pub fn stop_function(&mut self, name: &str) -> Result<u64> {
        let at = self.processes.iter().position(|(other, _)| other == name);
        let (_, mut child) = self.processes.remove(at.with_context(|| format!("`{name}` does not run"))?);
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        child.kill()?;
        child.wait()?;
        Ok(peak.unwrap_or_default() << 10)
    }

    fn spawn(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let log = File::create(self.folder.join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("`{name}` cannot be started: {command:?}"))?;
        self.processes.push((name.to_owned(), child));
        Ok(())
    }

    fn wait_for(&self, address: &str) -> Result<()> {
        let patience = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            ensure!(
                Instant::now() < patience,
                "nothing answers at {address} within a minute; see {}",
                self.folder.display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Invokes a function and returns its response.
    pub fn invoke(&mut self, function: &str, payload: &Value) -> Result<Value> {
        self.check_running()?;
        let url = format!("http://{}/2015-03-31/functions/{function}/invocations", self.lambda);
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.post(url).send(payload.to_string())?;
        let (status, text) = (answer.status(), answer.body_mut().read_to_string()?);
        ensure!(status == 200, "function `{function}` answered {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("function `{function}` answered `{text}`"))
    }

    /// Fails if a process has ended.
    pub fn check_running(&mut self) -> Result<()> {
        for (name, child) in &mut self.processes {
            if let Some(status) = child.try_wait()? {
                let log = fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                bail!(
                    "`{name}` ended with {status}: {}",
                    tail.into_iter().rev().collect::<Vec<_>>().join("\n")
                );
            }
        }
        Ok(())
    }
}

impl Drop for Emulators {
    fn drop(&mut self) {
        for (_, child) in &mut self.processes {
            let _ended = child.kill().and_then(|()| child.wait());
        }
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Creates a cargo project with a binary for each function, because cargo-lambda accepts invocations of those alone.
fn project(folder: &Path, functions: &[String]) -> Result<PathBuf> {
    let project = folder.join("emulated");
    fs::create_dir_all(project.join("src"))?;
    let binaries: Vec<String> = functions
        .iter()
        .map(|name| format!("[[bin]]\nname = {}\npath = \"src/main.rs\"\n", json!(name)))
        .collect();
    let manifest = "[package]\nname = \"emulated\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n";
    fs::write(project.join("Cargo.toml"), format!("{manifest}\n{}", binaries.join("\n")))?;
    fs::write(project.join("src/main.rs"), "fn main() {}\n")?;
    Ok(project)
}
