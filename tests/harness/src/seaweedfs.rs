//! SeaweedFS, a real S3 server: one process on free ports, with one bucket. It can be killed and restarted over the same files, and is
//! killed when its owner is dropped.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tidemill_host::Store;

/// The name of the bucket.
pub const BUCKET: &str = "tide";
const KEY: &str = "tide";
const SECRET: &str = "tide-and-mill";
/// The access key that may only read.
pub const READ_ONLY_KEY: &str = "reader";
/// The access key that may write everything, and read some prefixes of the store `partly`.
pub const LIMITED_KEY: &str = "partly";
const LIMITED_ACTIONS: [&str; 6] = [
    "List",
    "Write",
    "Read:tide/partly/raw/open/*",
    "Read:tide/partly/outcomes/*",
    "Read:tide/partly/runs/*",
    "Read:tide/partly/dead/*",
];
/// Until the server accepts writes.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Lines of its log in an error, because its folder may be removed before the error is read.
const LOG_TAIL_LINES: usize = 12;

/// The program, from the environment that `cargo xtask` prepares.
pub fn find_program() -> Option<PathBuf> {
    std::env::var_os("TIDEMILL_WEED").map(PathBuf::from).filter(|path| path.is_file())
}

/// A running server.
pub struct SeaweedFs {
    program: PathBuf,
    folder: PathBuf,
    /// Master, volume, filer, S3, and the same for gRPC.
    ports: [u16; 8],
    child: Option<Child>,
}

impl SeaweedFs {
    /// Starts a server over `folder` and creates the bucket. Events of the bucket's objects are sent to the webhook `notify`.
    pub fn start(program: &Path, folder: &Path, notify: Option<&str>) -> Result<Self> {
        fs::create_dir_all(folder.join("data"))?;
        let right = |name: &str, secret: &str, rights: &[&str]| serde_json::json!({ "name": name, "actions": rights, "credentials": [{ "accessKey": name, "secretKey": secret }] });
        let rights = serde_json::json!({ "identities": [
            right(KEY, SECRET, &["Admin", "Read", "Write", "List", "Tagging"]),
            right(READ_ONLY_KEY, SECRET, &["Read", "List"]),
            right(LIMITED_KEY, SECRET, &LIMITED_ACTIONS),
        ]});
        fs::write(folder.join("s3.json"), rights.to_string())?;
        if let Some(url) = notify {
            fs::write(folder.join("notification.toml"), notification(url))?;
        }
        let mut weed = Self {
            program: fs::canonicalize(program)?,
            folder: fs::canonicalize(folder)?,
            ports: free_ports()?,
            child: None,
        };
        weed.spawn()?;
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(weed.make_bucket())?;
        Ok(weed)
    }

    /// Restarts the server after [`kill`](Self::kill), and waits until it answers.
    pub fn restart(&mut self) -> Result<()> {
        self.spawn()?;
        let (store, until) = (self.store("setup")?, Instant::now() + START_TIMEOUT);
        // It answers before its volumes are there.
        let runtime = tokio::runtime::Runtime::new()?;
        while runtime.block_on(store.get("ready")).is_err() {
            ensure!(Instant::now() < until, "SeaweedFS does not come back; {}", self.log_tail());
        }
        Ok(())
    }

    /// Sends SIGKILL, as if the machine were lost.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// The S3 endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[3])
    }

    /// The port of the S3 endpoint.
    pub fn port(&self) -> u16 {
        self.ports[3]
    }

    /// The environment of a client of `endpoint`.
    pub fn environment(endpoint: &str) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "us-east-1"),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// Opens a store in the bucket under a prefix.
    pub fn store(&self, prefix: &str) -> Result<Store> {
        open_store(&format!("s3://{BUCKET}/{prefix}"), &Self::environment(&self.endpoint()))
    }

    fn log(&self) -> PathBuf {
        self.folder.join("weed.log")
    }

    fn spawn(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let names = ["master.port", "volume.port", "filer.port", "s3.port"];
        let grpc = names.map(|name| format!("{name}.grpc"));
        let ports = names.into_iter().chain(grpc.iter().map(String::as_str)).zip(self.ports);
        let mut command = Command::new(&self.program);
        command
            .args(["-logtostderr=true", "server"])
            .args(ports.map(|(name, port)| format!("-{name}={port}")))
            .args([
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-dir=data",
                "-s3",
                "-s3.config=s3.json",
                "-s3.iam=false",
            ])
            .args([
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-s3.autoCreateBucket=false",
                "-master.telemetry=false",
            ])
            // One machine elects itself: nothing need be waited for.
            .args(["-master.electionTimeout=1s", "-master.heartbeatInterval=200ms"])
            .args(["-master.volumePreallocate=false", "-master.volumeSizeLimitMB=64", "-volume.max=0"])
            // A share of a large disk is more than the tests ever write.
            .args(["-volume.minFreeSpace=64MiB"])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.child = Some(
            command
                .spawn()
                .with_context(|| format!("cannot start {}", self.program.display()))?,
        );
        Ok(())
    }

    /// The first writes fail until the server has a volume to write to.
    async fn make_bucket(&mut self) -> Result<()> {
        let until = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                bail!("SeaweedFS ended with {status}; {}", self.log_tail());
            }
            let written = match self.create_folder() {
                Ok(()) => self
                    .store("setup")?
                    .replace("ready", "yes".into())
                    .await
                    .map_err(anyhow::Error::from),
                Err(error) => Err(error),
            };
            match written {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > until => return Err(error.context(self.log_tail())),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Creates the bucket, which is a folder of the file server. It may exist from an earlier try whose write came too early.
    pub fn create_folder(&self) -> Result<()> {
        match ureq::post(format!("http://127.0.0.1:{}/buckets/{BUCKET}/", self.ports[2])).send_empty() {
            Ok(_) | Err(ureq::Error::StatusCode(409)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The last lines of the log.
    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
        format!("the end of {}:\n{tail}", self.log().display())
    }

    /// Removes the bucket and its objects.
    pub fn remove_bucket(&self) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/buckets/{BUCKET}/?recursive=true", self.ports[2]);
        ureq::delete(url).call()?;
        Ok(())
    }
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Opens a store with the environment of a client.
pub fn open_store(location: &str, environment: &[(String, String)]) -> Result<Store> {
    let settings: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Ok(Store::open_with(location, &settings)?)
}

/// Ports that were free a moment ago.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut listeners = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

fn notification(url: &str) -> String {
    format!(
        "[notification.webhook]\nenabled = true\nendpoint = \"{url}\"\ntimeout_seconds = 10\nmax_retries = 10\nbackoff_seconds = 1\n\
         max_backoff_seconds = 5\nworkers = 2\nbuffer_size = 10000\nevent_types = [\"create\", \"update\", \"rename\"]\n\
         path_prefixes = [\"/buckets/{BUCKET}/\"]\n"
    )
}
