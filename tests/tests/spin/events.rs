//! What a bucket's server says makes the stages run that ask no SQL, once, and leaves the objects that a Lambda function leaves. Rows are
//! taken too.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidemill_core::Digest;
use tidemill_core::pipeline::NodeSettings;
use tidemill_deploy::spin::compose::compose;
use tidemill_harness::seaweedfs::{BUCKET, SeaweedFs};
use tidemill_host::Store;
use tidemill_lambda::{Handler, StageEnvironment, stage_runner};
use tidemill_tests::spin::{Host, Tools, find_tools, send_request};

const KEY: &str = "outcomes/evaluate/alarm/o.json";
const JSON: (&str, &str) = ("content-type", "application/json");

fn case(file: &str) -> Result<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(file);
    fs::read(&path).with_context(|| format!("{}", path.display()))
}

/// `register`, as the case has it.
fn node(tools: &Tools) -> Result<NodeSettings> {
    let digest = Digest::sha256(&tools.component("register")?);
    Ok(serde_json::from_value(json!({
        "stage": "register", "resource": "alarm", "component": format!("components/{digest}"), "on": ["outcomes/evaluate/alarm/*"],
        "reads": ["evaluations/alarm/**", "models/alarm/**"], "writes": ["models/alarm/**"],
        "config": serde_json::from_slice::<Value>(&case("register.json")?)?,
    }))?)
}

/// The same object, in the four ways in which it is announced.
fn announced(prefix: &str) -> [(Vec<(String, String)>, String); 4] {
    let whole = format!("{prefix}/{KEY}");
    let json = || vec![(JSON.0.to_owned(), JSON.1.to_owned())];
    let s3 = |key: &str, name: &str| {
        let object = json!({ "bucket": { "name": BUCKET }, "object": { "key": key } });
        json!({ "Records": [{ "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name, "s3": object }] }).to_string()
    };
    let bridged = json!({ "detail-type": "Object Created", "source": "aws.s3", "detail": { "bucket": { "name": BUCKET }, "object": { "key": whole } } });
    let cloud = [
        ("ce-specversion", "1.0".to_owned()),
        ("ce-type", "com.amazonaws.s3.ObjectCreated.Put".to_owned()),
        ("ce-source", format!("aws:s3.us-east-1.{BUCKET}")),
        ("ce-subject", whole.clone()),
    ];
    [
        (json(), s3(&whole, "ObjectCreated:Put")),
        (json(), bridged.to_string()),
        (json(), s3(&whole.replace('/', "%2F"), "s3:ObjectCreated:Put")),
        (cloud.map(|(name, value)| (name.to_owned(), value)).to_vec(), String::new()),
    ]
}

fn post(host: &Host, path: &str, headers: &[(String, String)], body: &str) -> Result<(u16, Value)> {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (status, said) = send_request(&host.address(), "POST", path, &headers, body)?;
    Ok((status, serde_json::from_str(&said).with_context(|| said.clone())?))
}

async fn objects(store: &Store) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for prefix in ["models/", "outcomes/register/", "configs/", "dead/"] {
        for meta in store.list(prefix, None, usize::MAX).await? {
            found.push((meta.key.clone(), store.get(&meta.key).await?.to_vec()));
        }
    }
    Ok(found)
}

#[test]
fn a_stage_runs_once_and_to_the_bytes_of_lambda() -> Result<()> {
    let Some(tools) = find_tools() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let mut weed = SeaweedFs::start(&tools.seaweedfs, &folder.path().join("weed"), None)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let node = node(&tools)?;
    let told = json!({ "datasets": ["readings"], "nodes": [node] }).to_string();
    let chained = compose(&tools.compose_chain(&["register"])?, &[&tools.component("spin_environment")?])?;
    let host = Host::serve(&tools, folder.path(), &weed, "mill", &told, &chained)?;
    let bucket = weed.store("mill")?;
    let outcome = case("register-first/outcome.json")?;
    runtime.block_on(bucket.create(KEY, outcome.clone().into()))?;

    for (headers, body) in announced("mill") {
        let (status, said) = post(&host, "/events", &headers, &body)?;
        ensure!(status == 200 && said[KEY]["decision"] == "done", "{body}: {status} {said}");
    }

    let native = Store::memory();
    let expected = runtime.block_on(async {
        native.create(KEY, outcome.into()).await?;
        let settings = StageEnvironment {
            store: String::new(),
            node: node.clone(),
            memory_bytes: 1 << 30,
        };
        let handler = Handler::new(settings, native.clone(), stage_runner(&node)?)?;
        handler.handle(&json!({ "key": KEY })).await?;
        objects(&native).await
    })?;
    let found = runtime.block_on(objects(&bucket))?;
    ensure!(expected.len() >= 3, "the native run left {} objects", expected.len());
    let names = |objects: &[(String, Vec<u8>)]| objects.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    ensure!(names(&found) == names(&expected), "{:?} {:?}", names(&found), names(&expected));
    for ((key, found), (_, expected)) in found.iter().zip(&expected) {
        ensure!(found == expected, "`{key}` has other bytes than where Lambda wrote it");
    }

    let json = [(JSON.0.to_owned(), JSON.1.to_owned())];
    let foreign = json!({ "detail-type": "Object Created", "source": "aws.s3", "detail": { "bucket": { "name": "other" }, "object": { "key": format!("mill/{KEY}") } } });
    for passed_over in [
        foreign.to_string(),
        json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET }).to_string(),
        json!({ "Type": "SubscriptionConfirmation", "Message": "You have chosen …", "SubscribeURL": "https://sns.example.com/" })
            .to_string(),
    ] {
        let (status, said) = post(&host, "/events", &json, &passed_over)?;
        ensure!(status == 200 && said == json!({}), "{passed_over}: {status} {said}");
    }
    let (status, said) = post(&host, "/events", &json, "{\"what\": 1}")?;
    ensure!(
        status == 400 && said["error"].to_string().contains("known are S3 notifications"),
        "{status} {said}"
    );

    let csv = [(JSON.0.to_owned(), "text/csv".to_owned())];
    let rows = "id,at\n1,2020-01-01\n";
    let (status, first) = post(&host, "/data/readings", &csv, rows)?;
    let (_, again) = post(&host, "/data/readings", &csv, rows)?;
    ensure!(
        status == 202 && first["new"] == true && again["new"] == false,
        "{status} {first} {again}"
    );
    let key = first["key"].as_str().context("no key")?;
    ensure!(runtime.block_on(bucket.get(key))? == rows.as_bytes());
    let (status, said) = post(&host, "/data/nothing", &csv, rows)?;
    ensure!(status == 404 && said["error"].to_string().contains("`readings`"), "{status} {said}");

    let (status, said) = post(&host, "/data/readings", &[], rows)?;
    ensure!(status == 415 && said["error"].to_string().contains("`text/csv`"), "{status} {said}");

    // Nothing is acknowledged while the store is away: the sender must send it again.
    weed.kill()?;
    let (headers, body) = &announced("mill")[0];
    for (path, headers, body) in [
        ("/events", headers.as_slice(), body.as_str()),
        ("/data/readings", csv.as_slice(), "id\n2\n"),
    ] {
        let (status, said) = post(&host, path, headers, body)?;
        ensure!(status == 503, "{path}: {status} {said}");
    }
    Ok(())
}
