//! What is wrong with a request is said as `tidemill up` says it; with the store away nothing is acknowledged, and nothing is left behind.

use anyhow::{Result, ensure};
use serde_json::json;
use tidemill_harness::{
    seaweedfs::{BUCKET, SeaweedFs},
    server::{STORE_VARIABLE, Server},
};
use tidemill_tests::{
    small,
    spin::{Host, config, find_tools, send_request},
    trained,
};

const INFER: &str = "/v2/models/alarm/infer";
const JSON: (&str, &str) = ("content-type", "application/json");

type Asked = (&'static str, &'static str, Vec<(&'static str, &'static str)>, String);

/// Method, path, headers and body of requests that are refused.
fn wrong() -> Vec<Asked> {
    let good = small::request("bad", &small::day(3)[..2]);
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut request = good.clone();
        change(&mut request);
        request.to_string()
    };
    let infer = |body: String| ("POST", INFER, vec![JSON], body);
    vec![
        infer("{\"inputs\": [".into()),
        infer(" ".into()),
        infer("[]".into()),
        infer(json!({ "inputs": [] }).to_string()),
        infer(with(&|request| request["inputs"][3]["name"] = json!("lefel"))),
        infer(with(&|request| request["inputs"][4]["data"] = json!([1.0, null]))),
        infer(with(&|request| request["inputs"][4]["datatype"] = json!("BYTES"))),
        infer(with(&|request| request["inputs"][2]["shape"] = json!([2, 2]))),
        infer(with(&|request| request["outputs"] = json!([{ "name": "sckore" }]))),
        infer(with(&|request| request["id"] = json!("x".repeat(1000)))),
        ("POST", "/v2/models/alarn/infer", vec![JSON], good.to_string()),
        ("POST", "/v2/models/..%2Fx/infer", vec![JSON], good.to_string()),
        ("POST", "/v2/models/alarm/versions/7/infer", vec![JSON], good.to_string()),
        ("POST", INFER, vec![("content-type", "text/csv")], good.to_string()),
        ("POST", INFER, vec![JSON, ("content-encoding", "gzip")], good.to_string()),
        ("GET", INFER, vec![], String::new()),
        ("POST", "/v2/health/ready", vec![JSON], "{}".into()),
        ("GET", "/v2/modells", vec![], String::new()),
    ]
}

/// Requests that are right and predict nothing.
const RIGHT: [&str; 5] = ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models", "/v2/models/alarm"];

#[test]
fn are_the_same_and_nothing_is_half_done() -> Result<()> {
    let Some(tools) = find_tools() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let mut weed = SeaweedFs::start(&tools.seaweedfs, &folder.path().join("weed"), None)?;
    let project = trained::project(&tools.tidemill, std::path::Path::new(env!("CARGO_TARGET_TMPDIR")), folder.path())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let (from, bucket) = (trained::store(&project)?, weed.store("small")?);
    runtime.block_on(async {
        for meta in from.list("", None, usize::MAX).await? {
            bucket.create(&meta.key, from.get(&meta.key).await?).await?;
        }
        anyhow::Ok(())
    })?;
    let mut environment = SeaweedFs::environment(&weed.endpoint());
    environment.push((STORE_VARIABLE.into(), format!("s3://{BUCKET}/small")));
    let borrowed: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let server = Server::up(&tools.tidemill, &project, &borrowed)?;
    let config = config("alarm", "1 day", "at");
    let hosts = [
        Host::wasmtime(&tools, folder.path(), &weed, "small", &config)?,
        Host::spin(&tools, folder.path(), &weed, "small", &project)?,
    ];
    for path in RIGHT {
        let expected = send_request(&server.address, "GET", path, &[], "")?;
        ensure!(expected.0 == 200, "{path}: {expected:?}");
        for host in &hosts {
            let found = send_request(&host.address(), "GET", path, &[], "")?;
            ensure!(found == expected, "{} on {path}: {found:?}, not {expected:?}", host.name());
            // Spin sends an answer without a length in two packets, and the second waits for the client.
            let answer = ureq::get(format!("{}{path}", host.address())).call()?;
            ensure!(
                answer.headers().contains_key("content-length"),
                "{} on {path}: no length",
                host.name()
            );
        }
    }
    for (method, path, headers, body) in wrong() {
        let expected = send_request(&server.address, method, path, &headers, &body)?;
        ensure!((400..500).contains(&expected.0), "{method} {path} {body}: {expected:?}");
        for host in &hosts {
            let found = send_request(&host.address(), method, path, &headers, &body)?;
            ensure!(
                found == expected,
                "{} on {method} {path} {body}: {found:?}, not {expected:?}",
                host.name()
            );
        }
    }
    server.stop()?;
    let logged = || runtime.block_on(bucket.list("predictions/", None, usize::MAX));
    let before = logged()?;
    let good = small::request("away", &small::day(3)[..2]).to_string();
    weed.kill()?;
    for host in &hosts {
        let (status, said) = send_request(&host.address(), "POST", INFER, &[JSON], &good)?;
        ensure!(status == 503, "{} with the store away: {status} {said}", host.name());
        ensure!(
            !said.contains(BUCKET) && !said.contains("127.0.0.1"),
            "{} tells too much: {said}",
            host.name()
        );
    }
    weed.restart()?;
    ensure!(logged()? == before, "what was refused left something behind");
    for host in &hosts {
        let (status, said) = send_request(&host.address(), "POST", INFER, &[JSON], &good)?;
        ensure!(status == 200, "{} with the store back: {status} {said}", host.name());
    }
    ensure!(logged()?.len() == before.len() + hosts.len(), "each answer is one object");
    Ok(())
}
