//! `/metrics` of a running `tidemill up`, read by Prometheus' own parser: requests, latency, runs, events, the queue, the log, the process,
//! under Tidemill's names and under MLServer's and KServe's.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tidemill_harness::{http::Connection, server::Server};
use tidemill_tests::{small, trained};

/// Prints every sample of a text in Prometheus' format as JSON: family, type, name, labels, value.
const PARSER: &str = r"
import json, sys
from prometheus_client.parser import text_string_to_metric_families
families = text_string_to_metric_families(sys.stdin.read())
print(json.dumps([[f.name, f.type, s.name, s.labels, str(s.value)] for f in families for s in f.samples]))
";

/// The samples of one scrape.
struct Scrape(Vec<(String, String, String, Value, f64)>);

impl Scrape {
    fn read(python: &Path, address: &str) -> Result<Self> {
        let mut response = ureq::get(format!("{address}/metrics")).call()?;
        let content_type = response
            .headers()
            .get("content-type")
            .context("no content type")?
            .to_str()?
            .to_owned();
        ensure!(content_type.starts_with("text/plain; version=0.0.4"), "{content_type}");
        let text = response.body_mut().read_to_string()?;
        let mut child = Command::new(python)
            .args(["-c", PARSER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("no input")?.write_all(text.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "the parser rejects the text:\n{text}");
        let samples: Vec<(String, String, String, Value, String)> = serde_json::from_slice(&output.stdout)?;
        let number = |(family, kind, name, labels, value): (String, String, String, Value, String)| {
            Ok((family, kind, name, labels, value.parse::<f64>().with_context(|| value.clone())?))
        };
        Ok(Self(samples.into_iter().map(number).collect::<Result<_>>()?))
    }

    /// The sum of a sample over all series with these labels.
    fn sum(&self, kind: &str, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let matching = self.0.iter().filter(|(_, of, sample, found, _)| {
            of == kind && sample == name && labels.iter().all(|(label, value)| found[*label] == *value)
        });
        let values: Vec<f64> = matching.map(|sample| sample.4).collect();
        ensure!(!values.is_empty(), "there is no {kind} `{name}` with {labels:?}");
        Ok(values.iter().sum())
    }
}

/// The Python with `prometheus_client`. Without one the test says so and passes, except where `CI` is set.
fn find_python() -> Option<std::path::PathBuf> {
    let python = std::env::var_os("TIDEMILL_PROMETHEUS").map(|programs| Path::new(&programs).join("python"));
    if python.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "TIDEMILL_PROMETHEUS is not set: run `cargo xtask test`"
        );
        eprintln!("skipped: TIDEMILL_PROMETHEUS is not set; `cargo xtask test` sets it");
    }
    python
}

#[test]
fn a_scrape_has_everything() -> Result<()> {
    let (Some(tidemill), Some(python)) = (trained::find_tidemill(), find_python()) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let project = trained::project(&tidemill, Path::new(env!("CARGO_TARGET_TMPDIR")), folder.path())?;
    let server = Server::up(&tidemill, &project, &[])?;
    let mut connection = Connection::open(&server.address)?;
    let json = ["content-type: application/json"];
    let readings = small::day(3);
    let body = small::request("scraped", &readings[..5]).to_string();
    for _ in 0..3 {
        let answer = connection.request("POST", "/v2/models/alarm/infer", &json, body.as_bytes())?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    ensure!(connection.request("POST", "/v2/models/alarm/infer", &json, b"{}")?.status == 400);
    ensure!(
        connection
            .request("POST", "/v2/models/made-up/infer", &json, body.as_bytes())?
            .status
            == 404
    );
    let file = folder.path().join("day-3.csv");
    std::fs::write(&file, small::csv(&readings))?;
    server.run_command(&["put", "readings", &file.to_string_lossy()])?;
    server.wait_for_decision("alarm", "2024-01-03T00-00-00Z")?;

    let scrape = Scrape::read(&python, &server.address)?;
    let alarm = [("model", "alarm"), ("version", "1")];
    let validate = [("stage", "validate"), ("resource", "readings")];
    for (kind, name, labels, expected) in [
        ("counter", "tidemill_requests_total", &alarm[..], 3.0),
        ("counter", "tidemill_requests_total", &[("model", "alarm"), ("status", "400")], 1.0),
        ("counter", "tidemill_requests_total", &[("model", ""), ("status", "404")], 1.0),
        ("histogram", "tidemill_request_duration_seconds_count", &alarm, 3.0),
        ("counter", "tidemill_prediction_log_rows_total", &[("model", "alarm")], 15.0),
        ("gauge", "tidemill_queue_events", &[("state", "running")], 0.0),
        ("counter", "model_infer_request_success_total", &alarm, 3.0),
        (
            "counter",
            "model_infer_request_failure_total",
            &[("model", "alarm"), ("version", "")],
            1.0,
        ),
        ("summary", "model_infer_request_duration_count", &alarm, 3.0),
        ("histogram", "request_predict_seconds_count", &[("model_name", "alarm")], 4.0),
    ] {
        let value = scrape.sum(kind, name, labels)?;
        ensure!(value == expected, "{name} {labels:?} is {value}, not {expected}");
    }
    for (kind, name, labels) in [
        (
            "counter",
            "tidemill_runs_total",
            &[validate[0], validate[1], ("outcome", "done")][..],
        ),
        ("counter", "tidemill_runs_total", &[("stage", "monitor"), ("outcome", "done")]),
        ("histogram", "tidemill_run_duration_seconds_sum", &validate),
        ("histogram", "tidemill_run_memory_bytes_sum", &validate),
        ("counter", "tidemill_events_received_total", &validate),
        ("counter", "tidemill_events_delivered_total", &validate),
        ("counter", "tidemill_prediction_log_written_bytes_total", &[]),
        ("histogram", "tidemill_prediction_log_commit_duration_seconds_count", &[]),
        ("counter", "tidemill_prediction_log_segments_total", &[]),
        ("gauge", "process_resident_memory_bytes", &[]),
        // Processor time is counted in whole seconds, of which there may be none yet.
        ("gauge", "process_start_time_seconds", &[]),
    ] {
        ensure!(scrape.sum(kind, name, labels)? > 0.0, "{name} {labels:?} is zero");
    }
    for path in ["/healthz", "/status", "/metrics", "/v2/health/live", "/v2/health/ready"] {
        let head = ureq::head(format!("{}{path}", server.address)).call()?;
        ensure!(head.status() == 200, "HEAD {path}: {}", head.status());
    }
    server.stop()
}
