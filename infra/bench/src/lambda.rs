//! Cold start, memory and zipped size of each function under Lambda's emulator. A cold start ends with the first answer. `predict` is
//! compared with a Python function that runs the same model with onnxruntime, without transform and log.
//!
//! The programs are those of this build, stripped; the store is a folder, so that no network is measured.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidemill_core::{
    pipeline::{NodeSettings, deployment::ServingConfig},
    record::ModelVersion,
};
use tidemill_demo_targets::lambda::{Emulators, deployment::pipeline};
use tidemill_harness::flights;
use tidemill_host::Store;
use tidemill_run::Ledger;

use crate::{
    Arguments, Lambda,
    numbers::{quantile, to_millis},
    project::with_champion,
};

/// Number of cold starts of each function.
const COLD_STARTS: usize = 7;
/// Number of calls of a warm function.
const WARM_CALLS: usize = 50;

struct Function {
    name: String,
    program: PathBuf,
    arguments: Vec<PathBuf>,
    config: Value,
    payload: Value,
    /// The files of its zip.
    package: Vec<PathBuf>,
}

struct Figures {
    cold: Duration,
    warm: Duration,
    memory_bytes: u64,
    zipped_bytes: u64,
}

pub(crate) fn run(arguments: &Arguments, lambda: &Lambda) -> Result<Value> {
    let (server, files) = with_champion(arguments)?;
    let store = server.project.join(".tidemill/store");
    let staged = "demo/lambda.parquet";
    server.create(staged, std::fs::read(&files[3])?)?;
    let request = flights::requests(&server, &flights::inputs(&server)?, staged, Some(1))?.swap_remove(0);
    let (project, version) = (
        server.project.clone(),
        server.champion("late")?.context("there is no champion")?.version,
    );
    server.stop()?;
    let mut functions = stages(lambda, &project, &store)?;
    functions.push(predict(lambda, &project, &request)?);
    functions.push(python(lambda, &store, version, &request)?);
    let folder = arguments.dir.join("lambda");
    std::fs::create_dir_all(&folder)?;
    let names: Vec<String> = functions.iter().map(|function| function.name.clone()).collect();
    let mut emulators = Emulators::start_lambda(&folder, &lambda.cargo_lambda, &names)?;
    let mut report = serde_json::Map::new();
    println!("{:20} {:>10} {:>10} {:>9} {:>9}", "function", "cold", "warm", "memory", "zip");
    for function in &functions {
        let m = measure(&mut emulators, function, &store, &folder)?;
        let (memory, zip) = (
            m.memory_bytes as f64 / f64::from(1 << 20),
            m.zipped_bytes as f64 / f64::from(1 << 20),
        );
        println!(
            "{:20} {:>7.1} ms {:>7.2} ms {memory:>5.0} MiB {zip:>5.1} MiB",
            function.name,
            to_millis(m.cold),
            to_millis(m.warm)
        );
        report.insert(
            function.name.clone(),
            json!({ "cold-ms": to_millis(m.cold), "warm-ms": to_millis(m.warm), "memory-mib": memory, "zip-mib": zip }),
        );
    }
    let cold = |name: &str| report[name]["cold-ms"].as_f64().unwrap_or(f64::NAN);
    let times = cold("python") / cold("predict");
    println!("predict starts {times:.1} times as fast as Python with onnxruntime");
    report.insert("python-over-predict".into(), json!(times));
    Ok(json!({ "lambda": report }))
}

/// The stages' functions, with events whose outcomes exist, so that the function is measured and not the stage's work.
fn stages(lambda: &Lambda, project: &Path, store: &Path) -> Result<Vec<Function>> {
    let pipeline = pipeline(project)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let outcomes = runtime.block_on(Ledger::new(Store::local(store)?).list_outcomes(None, None))?;
    let mut functions = Vec::new();
    for node in &pipeline.nodes {
        let Some(outcome) = outcomes.iter().find(|outcome| outcome.stage == node.stage) else {
            continue;
        };
        let mut settings = NodeSettings::new(&pipeline, node);
        settings.component = Some(format!("components/{}", outcome.component));
        let as_component = node.policy().requires_component;
        let program = if as_component { "component" } else { "lambda" };
        functions.push(Function {
            name: node.stage.clone(),
            program: lambda.functions.join(format!("tidemill-{program}")),
            arguments: Vec::new(),
            config: serde_json::to_value(&settings)?,
            payload: json!({ "key": outcome.trigger.key }),
            package: package(lambda.functions.join(format!("tidemill-{program}")))?,
        });
    }
    ensure!(functions.len() >= 7, "the project ran {} stages only", functions.len());
    Ok(functions)
}

fn predict(lambda: &Lambda, project: &Path, request: &str) -> Result<Function> {
    let program = lambda.functions.join("tidemill-predict");
    Ok(Function {
        name: "predict".into(),
        package: package(program.clone())?,
        program,
        arguments: Vec::new(),
        config: serde_json::to_value(ServingConfig::from_pipeline(&pipeline(project)?))?,
        payload: function_url_event(request),
    })
}

/// The function that runs the same model with onnxruntime in Python.
fn python(lambda: &Lambda, store: &Path, version: u32, request: &str) -> Result<Function> {
    let version = std::fs::read(store.join(format!("models/late/versions/{version}.json")))?;
    let version: ModelVersion = serde_json::from_slice(&version)?;
    let packages = Command::new(&lambda.python)
        .args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
        .output()?;
    let packages = PathBuf::from(String::from_utf8(packages.stdout)?.trim());
    let package = ["onnxruntime", "numpy", "numpy.libs"].map(|name| packages.join(name));
    Ok(Function {
        name: "python".into(),
        program: lambda.python.clone(),
        arguments: vec![lambda.script.clone(), store.join(version.onnx)],
        config: json!({}),
        payload: function_url_event(request),
        package: package.into_iter().filter(|path| path.exists()).collect(),
    })
}

/// The program, and DuckDB's library if the program is linked to it.
fn package(program: PathBuf) -> Result<Vec<PathBuf>> {
    const LIBRARY: &str = "libduckdb.so";
    let bytes = std::fs::read(&program).with_context(|| program.display().to_string())?;
    let is_linked = bytes.windows(LIBRARY.len()).any(|text| text == LIBRARY.as_bytes());
    let mut files = vec![program];
    if is_linked {
        let folder = std::env::var_os("DUCKDB_LIB_DIR").context("DUCKDB_LIB_DIR is not set: use `cargo xtask bench lambda`")?;
        files.push(Path::new(&folder).join(LIBRARY));
    }
    Ok(files)
}

/// The event of a function URL.
fn function_url_event(request: &str) -> Value {
    let path = "/v2/models/late/infer";
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": { "host": "id.lambda-url.eu-west-2.on.aws", "content-type": "application/json" },
        "requestContext": { "accountId": "123456789012", "apiId": "id", "domainName": "id.lambda-url.eu-west-2.on.aws", "domainPrefix": "id",
            "http": { "method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "bench" },
            "requestId": "r", "routeKey": "$default", "stage": "$default", "time": "11/Jan/2023:11:45:34 +0000", "timeEpoch": 1_673_437_534_837_i64 },
        "body": request, "isBase64Encoded": false
    })
}

fn measure(emulators: &mut Emulators, function: &Function, store: &Path, folder: &Path) -> Result<Figures> {
    let mut cold = Vec::new();
    let mut warm = Vec::new();
    let mut memory_bytes = 0;
    for round in 0..COLD_STARTS {
        let started = Instant::now();
        let (program, arguments) = (&function.program, &function.arguments);
        emulators.start_function(&function.name, program, arguments, &store.to_string_lossy(), &function.config)?;
        let answer = emulators.invoke(&function.name, &function.payload)?;
        cold.push(started.elapsed());
        let status = answer.get("statusCode").map_or(200, |status| status.as_u64().unwrap_or_default());
        ensure!(status == 200, "`{}` answered {answer}", function.name);
        if round == 0 {
            for _ in 0..WARM_CALLS {
                let started = Instant::now();
                emulators.invoke(&function.name, &function.payload)?;
                warm.push(started.elapsed());
            }
        }
        memory_bytes = memory_bytes.max(emulators.stop_function(&function.name)?);
    }
    Ok(Figures {
        cold: quantile(&mut cold, 0.5),
        warm: quantile(&mut warm, 0.5),
        memory_bytes,
        zipped_bytes: zip_size(&function.package, &folder.join(&function.name))?,
    })
}

/// The size of a zip of these files and folders, programs stripped.
fn zip_size(package: &[PathBuf], folder: &Path) -> Result<u64> {
    let (made, stripped) = (folder.join("package.zip"), folder.join("bootstrap"));
    let mut command = Command::new("python3");
    command.args(["-m", "zipfile", "-c"]).arg(&made);
    for path in package {
        if path.extension().is_none() && path.is_file() {
            let strip = Command::new("strip")
                .arg("-o")
                .arg(&stripped)
                .arg(path)
                .status()
                .context("`strip` cannot be started")?;
            ensure!(strip.success(), "`{}` cannot be stripped", path.display());
            command.arg(&stripped);
        } else {
            command.arg(path);
        }
    }
    ensure!(command.status()?.success(), "`{}` cannot be zipped", folder.display());
    Ok(std::fs::metadata(&made)?.len())
}
