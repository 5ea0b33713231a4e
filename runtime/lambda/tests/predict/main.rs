//! The function that is deployed, as a process: Lambda's runtime interface is played, function URL and API Gateway payloads go in,
//! and over a store with a registered model the answers come out. What was answered must be in the store.
#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::unwrap_used,
    reason = "a test: its helpers are not inside `#[test]` functions, which is all that clippy leaves out"
)]

mod model;
mod runtime;

use serde_json::{Value, json};
use tidemill_core::{record::WindowSummary, time::parse_time};
use tidemill_host::Store;
use tidemill_predictions::summarize_window;

use runtime::Function;

const INFER: &str = "/v2/models/late/infer";

/// A function over a store with version 1 of `late`.
struct Served {
    function: Function,
    folder: tempfile::TempDir,
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::local(folder.path()).unwrap();
        wait(model::register(&store));
        let config = json!({ "models": { "late": { "window": "1 month", "time": "at" } } });
        Self {
            function: Function::start(folder.path(), &config),
            folder,
        }
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> (u64, Value) {
        let answer = self.function.invoke(&payload("$default", method, path, body));
        let body = answer["body"].as_str().unwrap_or_default();
        assert_eq!(answer["headers"]["content-type"], "application/json", "{answer}");
        (
            answer["statusCode"].as_u64().unwrap_or_default(),
            serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}")),
        )
    }

    fn infer(&mut self, request: &Value) -> (u64, Value) {
        self.ask("POST", INFER, &request.to_string())
    }

    fn may(&self) -> WindowSummary {
        let store = Store::local(self.folder.path()).unwrap();
        wait(summarize_window(&store, "late", parse_time("2013-05-01").unwrap())).unwrap()
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Version 2.0: a function URL's is that of API Gateway's HTTP APIs at the default stage.
fn payload(stage: &str, method: &str, path: &str, body: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": { "host": "id.lambda-url.eu-west-2.on.aws", "content-type": "application/json" },
        "requestContext": { "accountId": "123456789012", "apiId": "id", "domainName": "id.lambda-url.eu-west-2.on.aws", "domainPrefix": "id",
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test" },
            "requestId": "r", "routeKey": "$default", "stage": stage, "time": "11/Jan/2023:11:45:34 +0000", "timeEpoch": 1_673_437_534_837_i64 },
        "body": body, "isBase64Encoded": false
    })
}

/// Two rows of May.
fn request(id: &str) -> Value {
    json!({ "id": id, "inputs": [
        { "name": "distance", "datatype": "FP64", "shape": [2], "data": [0.9, null] },
        { "name": "carrier", "datatype": "BYTES", "shape": [2], "data": ["UA", "never seen"] },
        { "name": "at", "datatype": "BYTES", "shape": [2], "data": ["2013-05-02T10:00:00Z", "2013-05-03T10:00:00Z"] },
    ]})
}

#[test]
fn an_answered_prediction_is_in_the_store() {
    let mut served = Served::start();
    let (status, answer) = served.infer(&request("one"));
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["id"], &answer["model_version"]), (&json!("one"), &json!("1")));
    let expected = model::scores(&[Some(0.9), None], &["UA", "never seen"]);
    let score: Vec<f32> = serde_json::from_value(answer["outputs"][0]["data"].clone()).unwrap();
    assert_eq!(score, expected, "to the bit: our own models are scored by our own code everywhere");
    assert_eq!(answer["outputs"][1]["data"][0], "late", "{answer}");
    let may = served.may();
    assert_eq!((may.predictions, may.segments.len()), (2, 1));
    assert_eq!(may.versions, [(1, 2)].into());
    // Asked again under its own id, a prediction still counts once.
    assert_eq!(served.infer(&request("one")).0, 200);
    assert_eq!(served.infer(&request("two")).0, 200);
    assert_eq!(served.may().predictions, 4);
}

#[test]
fn an_environment_that_is_kept_ready_has_its_champion() {
    let mut served = Served::start();
    // It answers this without any model.
    assert_eq!(served.ask("GET", "/v2/health/live", "").0, 200);
    std::fs::remove_dir_all(served.folder.path().join("candidates")).unwrap();
    let (status, answer) = served.infer(&request("one"));
    assert_eq!(status, 200, "the champion was loaded before the first event: {answer}");
    assert_eq!(served.infer(&request("two")).0, 200);
}

#[test]
fn a_start_without_a_champion_is_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let window = json!({ "window": "1 month", "time": "at" });
    let mut function = Function::start(folder.path(), &json!({ "models": { "early": window, "late": window } }));
    let mut status = |id: &str| function.invoke(&payload("$default", "POST", INFER, &request(id).to_string()))["statusCode"].clone();
    assert_eq!(status("one"), 404);
    wait(model::register(&Store::local(folder.path()).unwrap()));
    assert_eq!(status("two"), 200, "what is registered later is loaded then");
}

#[test]
fn gateways_and_bad_requests() {
    let mut served = Served::start();
    let behind = served
        .function
        .invoke(&payload("prod", "POST", &format!("/prod{INFER}"), &request("staged").to_string()));
    assert_eq!(behind["statusCode"], 200, "{behind}");
    assert_eq!(served.ask("GET", "/v2/health/ready", ""), (200, json!({ "ready": true })));
    assert_eq!(served.ask("GET", "/v2/models", ""), (200, json!({ "models": ["late"] })));
    let (status, metadata) = served.ask("GET", "/v2/models/late", "");
    assert_eq!((status, &metadata["versions"]), (200, &json!(["1"])), "{metadata}");
    let mut wrong = request("wrong");
    wrong["inputs"][0]["data"] = json!(["far", 1]);
    for (method, path, body, expected, says) in [
        ("POST", INFER, "{\"inputs\": [".to_owned(), 400, "the body is not JSON"),
        ("POST", INFER, wrong.to_string(), 400, "holds `\"far\"` in row 0"),
        ("POST", INFER, json!({ "inputs": [] }).to_string(), 400, "`inputs` is empty"),
        ("POST", "/v2/models/early/infer", request("x").to_string(), 404, "there are `late`"),
        (
            "POST",
            "/v2/models/late/versions/7/infer",
            request("x").to_string(),
            404,
            "no version or alias `7`",
        ),
        ("GET", "/v1/models", String::new(), 404, "there is no `GET /v1/models`"),
        ("POST", INFER, "x".repeat((8 << 20) + 1), 413, "larger than 8 MiB"),
    ] {
        let (status, answer) = served.ask(method, path, &body);
        assert_eq!(status, expected, "{answer}");
        assert!(
            answer["error"].as_str().unwrap_or_default().contains(says),
            "{answer} should say {says}"
        );
    }
    // Nothing of what was refused is in the log.
    assert_eq!(served.may().predictions, 2);
}

#[test]
fn a_log_that_cannot_be_written_answers_503() {
    let mut served = Served::start();
    let in_the_way = served.folder.path().join("predictions");
    std::fs::write(&in_the_way, "not a folder").unwrap();
    let (status, answer) = served.infer(&request("one"));
    assert_eq!(status, 503, "{answer}");
    assert!(
        answer["error"]
            .as_str()
            .unwrap_or_default()
            .contains("the prediction log cannot write `predictions/late/"),
        "{answer}"
    );
    std::fs::remove_file(in_the_way).unwrap();
    assert_eq!(served.infer(&request("one")).0, 200);
    assert_eq!(served.may().predictions, 2);
}

#[test]
fn what_is_not_configured_is_said() {
    let folder = tempfile::tempdir().unwrap();
    wait(model::register(&Store::local(folder.path()).unwrap()));
    let mut function = Function::start(folder.path(), &json!({ "models": {} }));
    let answer = function.invoke(&payload("$default", "POST", INFER, &request("one").to_string()));
    assert_eq!(answer["statusCode"], 500);
    assert!(
        answer["body"]
            .as_str()
            .unwrap_or_default()
            .contains("predictions of `late` cannot be logged"),
        "{answer}"
    );
    let output = runtime::command().env("TIDEMILL_STORE", folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("`TIDEMILL_CONFIG` is not set"), "{error}");
}
