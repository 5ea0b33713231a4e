//! A model that was trained elsewhere goes the way of every model: candidate, gates, version, champion, predictions.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidemill_core::{Digest, record::ModelVersion};
use tidemill_harness::server::Server;
use tidemill_tests::trained;

use super::tools::{said, succeeded};

fn made(tidemill: &Path, folder: &Path) -> Result<std::path::PathBuf> {
    succeeded(
        Command::new(tidemill)
            .args(["new", "--template", "onnx", "mine"])
            .current_dir(folder)
            .output()?,
    )?;
    Ok(folder.join("mine"))
}

#[test]
fn is_judged_registered_and_served() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = made(&tidemill, folder.path())?;
    let server = Server::up(&tidemill, &project, &[])?;
    server.run_command(&["models", "import", "failure", "model.onnx"])?;
    server.run_command(&["put", "readings", "data/day-1.csv"])?;
    server.wait_for_decision("failure", "2024-01-01T00-00-00Z")?;
    let version: ModelVersion = server
        .json("models/failure/versions/1.json")?
        .context("the model was not admitted")?;
    let file = fs::read(project.join("model.onnx"))?;
    ensure!(
        version.onnx_digest == Digest::sha256(&file),
        "another file is served than was given"
    );
    ensure!(version.metrics["auc"] > 0.65, "{:?}", version.metrics);
    ensure!(
        server.champion("failure")?.is_some_and(|alias| alias.version == 1),
        "it is not the champion"
    );
    let columns = |values: [&[f64]; 3]| -> Vec<Value> {
        let named = ["temperature", "vibration", "age"].into_iter().zip(values);
        named
            .map(|(name, data)| {
                let kind = if name == "age" { "INT64" } else { "FP64" };
                let data: Vec<Value> = data
                    .iter()
                    .map(|v| if name == "age" { json!(*v as i64) } else { json!(v) })
                    .collect();
                json!({ "name": name, "datatype": kind, "shape": [data.len()], "data": data })
            })
            .collect()
    };
    let request = json!({ "inputs": columns([&[60.0, 80.0], &[4.0, 8.0], &[7.0, 10.0]]) });
    let answer: Value = ureq::post(format!("{}/v2/models/failure/infer", server.address))
        .send_json(&request)?
        .body_mut()
        .read_json()?;
    // What scikit-learn's forest says of these two rows, by ONNX Runtime in Python.
    let scores: Vec<f64> = serde_json::from_value(answer["outputs"][0]["data"].clone())?;
    let wanted = [0.580_058_1, 0.946_863_7];
    let near = scores.len() == 2 && scores.iter().zip(wanted).all(|(score, wanted)| (score - wanted).abs() < 1e-5);
    ensure!(near, "{answer}");
    server.stop()?;
    // It can be built again from its record like any other.
    succeeded(Command::new(&tidemill).args(["replay", "failure"]).current_dir(&project).output()?)
}

#[test]
fn that_is_not_there_waits_for_a_person() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = made(&tidemill, folder.path())?;
    let server = Server::up(&tidemill, &project, &[])?;
    server.run_command(&["put", "readings", "data/day-1.csv"])?;
    super::chain::settled(&server, 1)?;
    let letter = server.keys("dead/train/")?;
    let letter: Value = server.json(letter.first().context("no letter")?)?.context("no letter")?;
    let told = letter["message"].as_str().unwrap_or_default();
    ensure!(
        told.contains("tidemill models import failure <file>") && told.contains("events retry"),
        "{letter}"
    );
    server.run_command(&["models", "import", "failure", "model.onnx"])?;
    server.run_command(&["events", "retry"])?;
    super::chain::settled(&server, 0)?;
    ensure!(server.champion("failure")?.is_some(), "it was not taken after all");
    server.stop()
}

fn fails(tidemill: &Path, project: &Path, arguments: &[&str], code: i32, parts: &[&str]) -> Result<()> {
    let output = Command::new(tidemill).args(arguments).current_dir(project).output()?;
    let text = said(&output);
    ensure!(output.status.code() == Some(code), "{arguments:?} ({}): {text}", output.status);
    for part in parts {
        ensure!(text.contains(part), "{arguments:?}: `{part}` is not in: {text}");
    }
    Ok(())
}

/// The template's model with other bytes of the same length in it: the file stays well-formed.
fn patched(project: &Path, from: &[u8], to: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = fs::read(project.join("model.onnx"))?;
    let places: Vec<usize> = (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    ensure!(!places.is_empty() && from.len() == to.len(), "{from:?} is not in the model");
    places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
    Ok(bytes)
}

#[test]
fn what_could_not_be_served_is_refused() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = made(&tidemill, folder.path())?;
    let refused = |bytes: Vec<u8>, parts: &[&str]| -> Result<()> {
        fs::write(project.join("other.onnx"), bytes)?;
        fails(&tidemill, &project, &["models", "import", "failure", "other.onnx"], 3, parts)
    };
    // The type of an element follows the name: 1 is float32, 7 int64, 11 float64.
    refused(
        patched(&project, b"features\x12\x0c\x0a\x0a\x08\x01", b"features\x12\x0c\x0a\x0a\x08\x0b")?,
        &["`features` as float64", "FloatTensorType([None, 3])"],
    )?;
    refused(
        patched(&project, b"scores\x12\x0c\x0a\x0a\x08\x01", b"scores\x12\x0c\x0a\x0a\x08\x07")?,
        &["`scores` as int64", "probabilities"],
    )?;
    // [any, 3] becomes [1, any].
    refused(
        patched(&project, b"\x0a\x00\x0a\x02\x08\x03", b"\x0a\x02\x08\x01\x0a\x00")?,
        &["exactly 1 rows", "FloatTensorType([None, n])"],
    )?;
    refused(
        patched(&project, b"TreeEnsembleClassifier", b"TreeEnsembleClassifieR")?,
        &["operator `TreeEnsembleClassifieR`, which tract lacks"],
    )?;
    // Two files one after the other are one, says protobuf: a node behind `scores`, and its output.
    let zip_map = b"\x3a\x20\x0a\x16\x0a\x06scores\x12\x04maps\x22\x06ZipMap\x62\x06\x0a\x04maps".to_vec();
    let model = fs::read(project.join("model.onnx"))?;
    refused([model.clone(), zip_map].concat(), &["`ZipMap`", "options={\"zipmap\": False}"])?;
    let toml = fs::read_to_string(project.join("tidemill.toml"))?;
    let toml = toml
        .replace("task = \"binary\"", "task = \"regression\"")
        .replace("auc >= 0.65", "rmse < 3");
    fs::write(project.join("tidemill.toml"), toml)?;
    refused(model, &["gives 2 numbers a row", "`regression` needs 1", "`task`"])?;
    ensure!(!project.join(".tidemill/store/imports").exists(), "something of it was taken in");
    Ok(())
}

#[test]
fn what_does_not_fit_is_said_at_once() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = made(&tidemill, folder.path())?;
    let fails = |arguments: &[&str], code: i32, parts: &[&str]| fails(&tidemill, &project, arguments, code, parts);
    fails(&["models", "import", "failure", "gone.onnx"], 4, &["`gone.onnx`"])?;
    fails(
        &["models", "import", "faliure", "model.onnx"],
        4,
        &["no model `faliure`", "`failure`"],
    )?;
    fs::write(project.join("text.onnx"), "this is no model")?;
    fails(
        &["models", "import", "failure", "text.onnx"],
        3,
        &["`text.onnx` is not an ONNX model"],
    )?;
    fs::write(project.join("other.onnx"), patched(&project, b"features", b"variable")?)?;
    fails(
        &["models", "import", "failure", "other.onnx"],
        3,
        &["takes `variable`", "must take `features`", "export.py"],
    )?;
    ensure!(!project.join(".tidemill/store/imports").exists(), "nothing of it was taken in");
    // One that is not named yet: what to write is said.
    fs::write(
        project.join("newer.onnx"),
        [fs::read(project.join("model.onnx"))?, b"\xa2\x06\x01x".to_vec()].concat(),
    )?;
    let digest = Digest::sha256(&fs::read(project.join("newer.onnx"))?);
    let output = Command::new(&tidemill)
        .args(["models", "import", "failure", "newer.onnx"])
        .current_dir(&project)
        .output()?;
    let text = said(&output);
    ensure!(output.status.success() && text.contains(&format!("onnx = \"{digest}\"")), "{text}");
    let toml = fs::read_to_string(project.join("tidemill.toml"))?;
    let line = toml.lines().find(|line| line.starts_with("onnx = ")).context("no digest")?;
    fs::write(project.join("tidemill.toml"), toml.replace(line, "onnx = \"newer.onnx\""))?;
    fails(&["check"], 2, &["`onnx = \"newer.onnx\"`", "sha256sum"])?;
    fs::write(project.join("tidemill.toml"), toml.replace(line, ""))?;
    fails(&["check"], 2, &["does not say which model", "tidemill models import failure"])
}
