//! February's flights, predicted by what was trained on January: by `tidemill up` with the ONNX engine inside its component, by wasmtime's
//! command and by the Spin-compatible host, each with our own model and with one from elsewhere.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use tidemill_core::{Digest, Host as _, Table, record::ModelVersion};
use tidemill_harness::reader::open_reader;
use tidemill_harness::{
    flights,
    seaweedfs::{BUCKET, SeaweedFs},
    server::{STORE_VARIABLE, Server},
};
use tidemill_tests::spin::{Host, config, find_tools, send_request};

use super::foreign;

/// Requests, and flights in each.
const REQUESTS: usize = 24;
const ROWS: usize = 64;
const JSON: (&str, &str) = ("content-type", "application/json");
/// Our own model, and the one from elsewhere.
const PATHS: [&str; 2] = ["/v2/models/late/infer", "/v2/models/late/versions/2/infer"];

#[test]
fn are_answered_to_the_bit_and_logged() -> Result<()> {
    let Some(tools) = find_tools() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let weed = SeaweedFs::start(&tools.seaweedfs, &folder.path().join("weed"), None)?;
    let mut environment = SeaweedFs::environment(&weed.endpoint());
    environment.push((STORE_VARIABLE.into(), format!("s3://{BUCKET}/mill")));
    let components = tools.with_engine_inside(folder.path())?;
    environment.push(("TIDEMILL_COMPONENTS".into(), components.to_string_lossy().into_owned()));
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let project = project(&tools.tidemill, folder.path())?;
    let server = Server::up(&tools.tidemill, &project, &environment)?;
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/flights/data");
    let files = flights::files(&data, 2)?;
    server.run_command(&["put", "flights", &files[0]])?;
    server.wait_for_decision("late", &flights::window("2013-01")?)?;
    bring_your_own(&server)?;
    let bodies = requests(&server, &files[1])?;

    let config = config("late", "1 month", "scheduled_departure");
    let hosts = [
        Host::wasmtime(&tools, folder.path(), &weed, "mill", &config)?,
        Host::spin(&tools, folder.path(), &weed, "mill", &project)?,
    ];
    let expected = answers(&server.address, &bodies)?;
    let mut known = logged(&server)?;
    let mut written = Vec::new();
    for host in &hosts {
        let found = answers(&host.address(), &bodies)?;
        for (found, expected) in found.iter().zip(&expected) {
            ensure!(
                found == expected,
                "{} answers\n{found}\nwhere `tidemill up` answers\n{expected}",
                host.name()
            );
        }
        // Acknowledged is in the bucket, at once.
        let keys: Vec<String> = logged(&server)?.difference(&known).cloned().collect();
        ensure!(
            keys.len() >= found.len(),
            "{} answers of {} left {} objects",
            found.len(),
            host.name(),
            keys.len()
        );
        known.extend(keys.iter().cloned());
        written.push((host.name(), keys));
    }
    drop(hosts);
    // What `tidemill up` logged is in the bucket when it has stopped.
    server.stop()?;
    let server = Server::up(&tools.tidemill, &project, &environment)?;
    let keys: Vec<String> = logged(&server)?.difference(&known).cloned().collect();
    let host = open_reader(&server, "log")?;
    let read = |keys: &[String]| {
        let select = "SELECT * EXCLUDE (_served_at, _latency_us) FROM log ORDER BY _id, _version";
        tidemill_sdk::query_batches(host.sql(), select, &[Table::parquet("log", keys.to_vec())])
    };
    let expected = read(&keys)?;
    let rows: usize = expected.iter().map(|batch| batch.num_rows()).sum();
    ensure!(rows == REQUESTS * ROWS * PATHS.len(), "`tidemill up` logged {rows} rows");
    for (name, keys) in written {
        ensure!(read(&keys)? == expected, "{name} logged other rows than `tidemill up`");
    }
    server.stop()
}

/// The flights' project, but that January is enough to train on.
fn project(tidemill: &Path, folder: &Path) -> Result<PathBuf> {
    let project = folder.join("flights");
    let made = Command::new(tidemill)
        .args(["new", "--template", "flights"])
        .arg(&project)
        .output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (file, needed) = (project.join("tidemill.toml"), "minimum-rows = 70000");
    let text = std::fs::read_to_string(&file)?;
    ensure!(text.contains(needed), "{text}");
    std::fs::write(&file, text.replace(needed, "minimum-rows = 20000"))?;
    Ok(project)
}

/// The bodies of February's first requests.
fn requests(server: &Server, file: &str) -> Result<Vec<String>> {
    let staged = "demo/2013-02.parquet";
    server.create(staged, std::fs::read(file)?)?;
    let mut bodies = flights::requests(server, &flights::inputs(server)?, staged, Some(ROWS))?;
    bodies.truncate(REQUESTS);
    ensure!(bodies.len() == REQUESTS, "February has too few flights");
    Ok(bodies)
}

/// Registers a model from elsewhere as version 2.
fn bring_your_own(server: &Server) -> Result<()> {
    let mut version: ModelVersion = server.json("models/late/versions/1.json")?.context("nothing was trained")?;
    let transform = server.runtime.block_on(server.store.get(&version.transform))?;
    let onnx = foreign::model(flights::feature_count(&transform)?);
    (version.version, version.onnx_digest) = (2, Digest::sha256(&onnx));
    version.onnx = "candidates/late/elsewhere/model.onnx".into();
    server.create(&version.onnx, onnx)?;
    server.create("models/late/versions/2.json", serde_json::to_vec_pretty(&version)?)
}

fn answers(address: &str, bodies: &[String]) -> Result<Vec<String>> {
    let mut answers = Vec::new();
    for path in PATHS {
        for body in bodies {
            let (status, said) = send_request(address, "POST", path, &[JSON], body)?;
            ensure!(status == 200, "{address}{path}: {status} {said}");
            answers.push(said);
        }
    }
    Ok(answers)
}

fn logged(server: &Server) -> Result<BTreeSet<String>> {
    Ok(server.keys("predictions/late/")?.into_iter().collect())
}
