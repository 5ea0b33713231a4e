//! Versions whose model is corrupt, foreign, another's or gone: moving the alias there costs predictions, not the server, and moving it
//! back mends it. Between good versions the alias moves under load without a failed request.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use tidemill_core::{Digest, record::ModelVersion};
use tidemill_harness::{http::Connection, server::Server};
use tidemill_tests::{small, trained};

use super::{fails, keep};

const INFER: &str = "/v2/models/alarm/infer";
const JSON: &str = "content-type: application/json";

/// Registers a copy of version 1 as version `number`, changed.
fn register(server: &Server, number: u32, change: impl FnOnce(&mut ModelVersion)) -> Result<()> {
    let mut version: ModelVersion = server.json("models/alarm/versions/1.json")?.context("there is no version 1")?;
    version.version = number;
    change(&mut version);
    server.create(
        &format!("models/alarm/versions/{number}.json"),
        serde_json::to_vec_pretty(&version)?,
    )
}

fn with_model(server: &Server, number: u32, onnx: Vec<u8>) -> Result<()> {
    let key = format!("candidates/alarm/by-hand-{number}/model.onnx");
    let digest = Digest::sha256(&onnx);
    server.create(&key, onnx)?;
    register(server, number, |version| (version.onnx, version.onnx_digest) = (key, digest))
}

fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    [&[(number << 3 | 2) as u8, bytes.len() as u8], bytes].concat()
}

/// A model that is ONNX through and through, and none of ours: one input `x` of two floats, copied to the output `y`.
fn foreign() -> Vec<u8> {
    let dimension = field(1, &[0x08, 2]);
    let tensor = field(1, &[vec![0x08, 1], field(2, &dimension)].concat());
    let value = |name: &[u8]| [field(1, name), field(2, &tensor)].concat();
    let node = [field(1, b"x"), field(2, b"y"), field(4, b"Identity")].concat();
    let graph = [field(1, &node), field(2, b"g"), field(11, &value(b"x")), field(12, &value(b"y"))].concat();
    [vec![0x08, 8], field(7, &graph), field(8, &[0x10, 13])].concat()
}

fn move_to(server: &Server, version: u32) -> Result<()> {
    server.run_command(&["models", "alias", "alarm", "champion", &version.to_string()])
}

#[test]
fn that_cannot_be_served_are_said_and_left_again() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = trained::project(&tidemill, keep(), folder.path())?;
    let server = Server::up(&tidemill, &project, &[])?;
    let first: ModelVersion = server.json("models/alarm/versions/1.json")?.context("there is no version 1")?;
    let onnx = server.runtime.block_on(server.store.get(&first.onnx))?.to_vec();
    let mut flipped = onnx.clone();
    let middle = 16..flipped.len() / 2;
    flipped[middle].iter_mut().for_each(|byte| *byte ^= 0xA5);
    with_model(&server, 2, b"this is no model".to_vec())?;
    with_model(&server, 3, onnx[..onnx.len() / 2].to_vec())?;
    with_model(&server, 4, flipped)?;
    with_model(&server, 5, foreign())?;
    with_model(&server, 6, Vec::new())?;
    register(&server, 7, |version| {
        (version.onnx, version.onnx_digest) = ("candidates/alarm/gone/model.onnx".into(), Digest::sha256(b"gone"));
    })?;
    register(&server, 8, |version| version.onnx_digest = Digest::sha256(b"another model"))?;
    register(&server, 9, |version| {
        version.transform = "features/alarm/gone/transform.json".into()
    })?;
    server.create("models/alarm/versions/10.json", "{\"model\": \"alarm\"}")?;
    let body = small::request("swap", &small::day(3)[..2]).to_string();
    let mut connection = Connection::open(&server.address)?;
    for version in 2..=9 {
        move_to(&server, version)?;
        let answer = connection.request("POST", INFER, &[JSON], body.as_bytes())?;
        ensure!(answer.status == 503, "version {version}: {answer:?}");
        for part in [&format!("version {version} of `alarm` cannot be served: "), "tidemill models alias"] {
            ensure!(
                answer.error().contains(part),
                "version {version}: `{}` does not say `{part}`",
                answer.error()
            );
        }
        // Who asks for the old one is served all the time.
        let old = connection.request("POST", "/v2/models/alarm/versions/1/infer", &[JSON], body.as_bytes())?;
        ensure!(old.status == 200, "version 1 beside version {version}: {old:?}");
        move_to(&server, 1)?;
        let answer = connection.request("POST", INFER, &[JSON], body.as_bytes())?;
        ensure!(
            answer.status == 200 && answer.body["model_version"] == "1",
            "back from version {version}: {answer:?}"
        );
    }
    let answer = connection.request("POST", "/v2/models/alarm/versions/10/infer", &[JSON], body.as_bytes())?;
    ensure!(
        answer.status == 503 && answer.error().contains("versions/10.json` is not what it should be"),
        "{answer:?}"
    );
    fails(
        &tidemill,
        &project,
        &["models", "alias", "alarm", "champion", "10"],
        3,
        &["versions/10.json` is not what it should be"],
    )?;
    fails(
        &tidemill,
        &project,
        &["models", "alias", "alarm", "champion", "77"],
        4,
        &["no version `77`", "its versions are `1`, `2`"],
    )?;
    fails(&tidemill, &project, &["models", "alias", "alarm", "a/b", "1"], 3, &["`a/b`"])?;
    server.stop()
}

#[test]
fn are_swapped_under_load() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = trained::project(&tidemill, keep(), folder.path())?;
    let server = Server::up(&tidemill, &project, &[])?;
    register(&server, 2, |_| ())?;
    let (stop, asked) = (AtomicBool::new(false), [AtomicU64::new(0), AtomicU64::new(0)]);
    let load = |client: usize| -> Result<()> {
        let mut connection = Connection::open(&server.address)?;
        let rows = small::day(3);
        for n in 0.. {
            let body = small::request(&format!("swap-{client}-{n}"), &rows[n % 900..][..1]).to_string();
            let answer = connection.request("POST", INFER, &[JSON], body.as_bytes())?;
            let version = answer.body["model_version"].as_str().and_then(|v| v.parse::<usize>().ok());
            ensure!(answer.status == 200, "{answer:?}");
            asked[version.context("an answer names no version")? - 1].fetch_add(1, Ordering::Relaxed);
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = (0..4).map(|client| scope.spawn(move || load(client))).collect();
        let swapped = [2, 1, 2, 1, 2].iter().try_for_each(|version| {
            move_to(&server, *version)?;
            // Some must have met each champion before the next one comes.
            let count = &asked[*version as usize - 1];
            let goal = count.load(Ordering::Relaxed) + 20;
            while count.load(Ordering::Relaxed) < goal && clients.iter().all(|client| !client.is_finished()) {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            anyhow::Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        swapped
    })?;
    let [one, two] = asked.map(AtomicU64::into_inner);
    ensure!(one >= 20 && two >= 20, "{one} answers by version 1, {two} by version 2");
    server.stop()
}
