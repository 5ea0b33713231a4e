//! A collector's side of OTLP: what the exporter posts decodes with OpenTelemetry's own types.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    metrics::v1::metric::Data,
};
use tidemill_observe::{Recorder, Run, otlp};

/// Answers requests until every path was posted to; the last body by path.
fn collect(listener: &TcpListener, paths: &[&str]) -> BTreeMap<String, String> {
    let mut bodies = BTreeMap::new();
    while !paths.iter().all(|path| bodies.contains_key(*path)) {
        let (stream, _) = listener.accept().unwrap();
        let (path, body) = receive(stream);
        bodies.insert(path, body);
    }
    bodies
}

fn receive(mut stream: TcpStream) -> (String, String) {
    let mut request = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() == length.unwrap_or(0) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
                .unwrap();
            return (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned());
        }
    }
}

#[test]
fn a_collector_decodes_metrics_and_spans() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let recorder: &'static Recorder = Box::leak(Box::new(Recorder::new()));
    let exporter = otlp::Exporter::start(
        otlp::Settings {
            endpoint: format!("http://{}/", listener.local_addr().unwrap()),
            interval: Duration::from_secs(3600),
            service: "flights".into(),
        },
        recorder,
    );
    recorder.record_request("late", "3", "200", Duration::from_millis(2));
    recorder.record_request("late", "3", "200", Duration::from_secs(60));
    recorder.record_run(&Run {
        stage: "train",
        resource: "late",
        run_key: "ab12cd34ab12cd34ab12cd34ab12cd34ff",
        trigger: "requests/late/2013-04-01T00-00-00Z.json",
        outcome: "bug",
        reason: "the stage trapped",
        finding: None,
        duration: Duration::from_secs(1),
        memory_bytes: 1 << 20,
    });
    let collector = std::thread::spawn(move || collect(&listener, &["/v1/metrics", "/v1/traces"]));
    exporter.stop();
    let bodies = collector.join().unwrap();

    let metrics: ExportMetricsServiceRequest = serde_json::from_str(&bodies["/v1/metrics"]).unwrap();
    let [resource] = &metrics.resource_metrics[..] else {
        panic!("{metrics:?}")
    };
    let name = &resource.resource.as_ref().unwrap().attributes[0];
    assert!(name.key == "service.name" && format!("{name:?}").contains("flights"), "{name:?}");
    let find = |name: &str| {
        let metric = resource.scope_metrics[0].metrics.iter().find(|metric| metric.name == name).unwrap();
        (metric.unit.clone(), metric.data.clone().unwrap())
    };
    let (unit, Data::Histogram(latency)) = find("tidemill_request_duration_seconds") else {
        panic!()
    };
    let point = &latency.data_points[0];
    assert_eq!(
        (unit.as_str(), point.count, point.bucket_counts.len()),
        ("s", 2, point.explicit_bounds.len() + 1)
    );
    assert_eq!(
        (point.bucket_counts.iter().sum::<u64>(), *point.bucket_counts.last().unwrap()),
        (2, 1)
    );
    assert!(point.time_unix_nano >= point.start_time_unix_nano && point.start_time_unix_nano > 0);
    let (_, Data::Sum(requests)) = find("tidemill_requests_total") else {
        panic!()
    };
    assert!(requests.is_monotonic && requests.data_points[0].attributes.len() == 3);

    let traces: ExportTraceServiceRequest = serde_json::from_str(&bodies["/v1/traces"]).unwrap();
    let span = &traces.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!((span.name.as_str(), span.trace_id.len(), span.span_id.len()), ("train late", 16, 8));
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 1_000_000_000);
    assert_eq!(span.status.as_ref().unwrap().code, 2);
}

#[test]
fn an_unreachable_collector_stops_nothing() {
    let recorder: &'static Recorder = Box::leak(Box::new(Recorder::new()));
    let settings = otlp::Settings {
        endpoint: "http://127.0.0.1:1".into(),
        interval: Duration::from_secs(3600),
        service: "flights".into(),
    };
    otlp::Exporter::start(settings, recorder).stop();
}
