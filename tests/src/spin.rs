//! The programs, the composed components, and the hosts that serve them.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tidemill_deploy::spin::{Parts, chain, compose::compose};
use tidemill_engine::ServerHandle;
use tidemill_harness::seaweedfs::{self, BUCKET, SeaweedFs};
use tidemill_spin_host::{SpinOptions, start};

/// What the tests run.
pub struct Tools {
    /// The program to test.
    pub tidemill: PathBuf,
    /// SeaweedFS.
    pub seaweedfs: PathBuf,
    /// wasmtime's command.
    pub wasmtime: PathBuf,
    /// The folder of the components.
    pub components: PathBuf,
}

/// `None` where one of them is missing; with `CI` set that fails.
pub fn find_tools() -> Option<Tools> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let find = || {
        Some(Tools {
            tidemill: named("TIDEMILL")?,
            seaweedfs: seaweedfs::find_program()?,
            wasmtime: named("TIDEMILL_WASMTIME").filter(|path| path.is_file())?,
            components: named("TIDEMILL_COMPONENTS")?,
        })
    };
    let tools = find();
    if tools.is_none() {
        let missing = "TIDEMILL, TIDEMILL_WEED, TIDEMILL_WASMTIME or TIDEMILL_COMPONENTS is not set: `cargo xtask test` sets them";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("skipped: {missing}");
    }
    tools
}

impl Tools {
    /// A component's bytes, by its short name: `onnx`.
    pub fn component(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.components.join(format!("tidemill_{name}.wasm"));
        fs::read(&path).with_context(|| format!("{}", path.display()))
    }

    /// `predict` with these components behind it.
    pub fn compose(&self, plugs: &[&str]) -> Result<Vec<u8>> {
        let plugs = plugs.iter().map(|name| self.component(name)).collect::<Result<Vec<_>>>()?;
        let plugs: Vec<&[u8]> = plugs.iter().map(Vec::as_slice).collect();
        Ok(compose(&self.component("predict")?, &plugs)?)
    }

    /// What takes events, with these stages behind it.
    pub fn compose_chain(&self, stages: &[&str]) -> Result<Vec<u8>> {
        let stages = stages.iter().map(|name| self.component(name)).collect::<Result<Vec<_>>>()?;
        let stages: Vec<&[u8]> = stages.iter().map(Vec::as_slice).collect();
        Ok(chain(Parts {
            front: &self.component("spin_events")?,
            link: &self.component("spin_link")?,
            end: &self.component("spin_run")?,
            stages: &stages,
        })?)
    }

    /// A folder of components whose `predict` has the ONNX engine inside, for `tidemill up`.
    pub fn with_engine_inside(&self, folder: &Path) -> Result<PathBuf> {
        let to = folder.join("components");
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&self.components)? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        fs::write(to.join("tidemill_predict.wasm"), self.compose(&["onnx"])?)?;
        Ok(to)
    }
}

/// What is served: each model with its window and the column of its event time.
pub fn config(model: &str, window: &str, time: &str) -> String {
    serde_json::json!({ "models": { model: { "window": window, "time": time } } }).to_string()
}

/// The application's variables over a bucket of this server.
fn variables(weed: &SeaweedFs, prefix: &str) -> BTreeMap<String, String> {
    let aws: BTreeMap<String, String> = SeaweedFs::environment(&weed.endpoint()).into_iter().collect();
    let of = |name: &str| aws.get(name).cloned().unwrap_or_default();
    [
        ("bucket", BUCKET.to_owned()),
        ("prefix", prefix.to_owned()),
        ("endpoint", of("AWS_ENDPOINT_URL")),
        ("region", of("AWS_REGION")),
        ("access_key_id", of("AWS_ACCESS_KEY_ID")),
        ("secret_access_key", of("AWS_SECRET_ACCESS_KEY")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Something that answers HTTP. It ends with this.
pub enum Host {
    /// wasmtime's command.
    Wasmtime {
        /// Its process.
        child: Child,
        /// `http://127.0.0.1:<port>`.
        address: String,
    },
    /// The Spin-compatible host.
    Spin {
        /// It runs on this.
        _runtime: tokio::runtime::Runtime,
        /// Its handle.
        running: ServerHandle,
    },
}

impl Host {
    /// `wasmtime serve` with the composed `predict`, and Spin's variables from its environment.
    pub fn wasmtime(tools: &Tools, folder: &Path, weed: &SeaweedFs, prefix: &str, config: &str) -> Result<Self> {
        let composed = tools.compose(&["onnx", "spin_store", "spin_environment"])?;
        Self::serve(tools, folder, weed, prefix, config, &composed)
    }

    /// `wasmtime serve` with a component.
    pub fn serve(tools: &Tools, folder: &Path, weed: &SeaweedFs, prefix: &str, config: &str, bytes: &[u8]) -> Result<Self> {
        let component = folder.join("serve.wasm");
        fs::write(&component, bytes)?;
        Self::serve_file(tools, folder, weed, prefix, config, &component)
    }

    /// Likewise with a component's file; one that ends in `.cwasm` was compiled by [`precompile`].
    pub fn serve_file(tools: &Tools, folder: &Path, weed: &SeaweedFs, prefix: &str, config: &str, component: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let log = fs::File::create(folder.join("wasmtime.log"))?;
        let mut command = Command::new(&tools.wasmtime);
        command.args(["serve", "-S", "cli=y,p3=y", "-W", "component-model-async=y", "--addr", &address]);
        command.args(["--env", &format!("TIDEMILL_CONFIG={config}")]);
        for (name, value) in variables(weed, prefix) {
            command.args(["--env", &format!("SPIN_VARIABLE_{}={value}", name.to_uppercase())]);
        }
        if component.extension().is_some_and(|ending| ending == "cwasm") {
            command.arg("--allow-precompiled");
        }
        let child = command
            .arg(component)
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()?;
        let mut host = Self::Wasmtime {
            child,
            address: format!("http://{address}"),
        };
        host.wait(&folder.join("wasmtime.log"))?;
        Ok(host)
    }

    /// Compiling takes it a while.
    fn wait(&mut self, log: &Path) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(300);
        while send_request(&self.address(), "GET", "/v2/health/live", &[], "").is_err() {
            let ended = match self {
                Self::Wasmtime { child, .. } => child.try_wait()?.is_some(),
                Self::Spin { .. } => false,
            };
            let said = || fs::read_to_string(log).unwrap_or_default();
            ensure!(!ended && Instant::now() < until, "wasmtime does not answer: {}", said());
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The Spin-compatible host with what `tidemill deploy spin` writes of a project.
    pub fn spin(tools: &Tools, folder: &Path, weed: &SeaweedFs, prefix: &str, project: &Path) -> Result<Self> {
        let application = folder.join("application");
        let mut deploy = Command::new(&tools.tidemill);
        deploy.args(["deploy", "spin", "--out"]).arg(&application).current_dir(project);
        let deployed = deploy.env("TIDEMILL_COMPONENTS", &tools.components).output()?;
        ensure!(deployed.status.success(), "{}", String::from_utf8_lossy(&deployed.stderr));
        let manifest = application.join("spin.toml");
        let runtime = tokio::runtime::Runtime::new()?;
        let running = runtime.block_on(async {
            let options = SpinOptions {
                manifest,
                variables: variables(weed, prefix),
                cache_dir: folder.join("compiled"),
                listener: tokio::net::TcpListener::bind("127.0.0.1:0").await?,
                timeout: Duration::from_secs(60),
                memory_bytes: 1 << 30,
            };
            anyhow::Ok(start(options).await?)
        })?;
        Ok(Self::Spin {
            _runtime: runtime,
            running,
        })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        match self {
            Self::Wasmtime { address, .. } => address.clone(),
            Self::Spin { running, .. } => format!("http://{}", running.addr()),
        }
    }

    /// For a message.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Wasmtime { .. } => "wasmtime",
            Self::Spin { .. } => "the Spin-compatible host",
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Self::Wasmtime { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Compiles a component for wasmtime's command, once for many servers.
pub fn precompile(tools: &Tools, bytes: &[u8], to: &Path) -> Result<()> {
    let component = to.with_extension("wasm");
    fs::write(&component, bytes)?;
    let mut command = Command::new(&tools.wasmtime);
    command
        .args(["compile", "-W", "component-model-async=y", "-o"])
        .arg(to)
        .arg(&component);
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// One request, its status and what was said, as it was said.
pub fn send_request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<(u16, String)> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(Duration::from_secs(120)))
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(format!("{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = match body {
        "" => agent.run(request.body(())?)?,
        body => agent.run(request.body(body.to_owned())?)?,
    };
    Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
}
