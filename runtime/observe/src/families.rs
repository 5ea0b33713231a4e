//! The metric families: names, labels and buckets. A name's unit is its last word, and counters end in `_total`.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
};

/// Latency buckets in seconds. They contain the default buckets of the Python client, which KServe's dashboards query, and finer ones
/// below: a prediction takes less than a millisecond.
const LATENCY_BUCKETS: [f64; 19] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0,
];
/// Run durations in seconds, up to an hour.
const RUN_BUCKETS: [f64; 14] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];
/// Memory of a run in bytes: 4 MiB, doubled up to 8 GiB.
const MEMORY_BUCKETS: [f64; 12] = {
    let mut buckets = [4_194_304.0; 12];
    let mut index = 1;
    while index < buckets.len() {
        buckets[index] = buckets[index - 1] * 2.0;
        index += 1;
    }
    buckets
};

/// Name of the counter of prediction requests.
pub(crate) const REQUESTS: &str = "tidemill_requests_total";
/// Name of the histogram of their latency.
pub(crate) const REQUEST_DURATION: &str = "tidemill_request_duration_seconds";

/// Every family, registered.
pub(crate) struct Families {
    pub(crate) events_received: IntCounterVec,
    pub(crate) events_delivered: IntCounterVec,
    pub(crate) events_retried: IntCounterVec,
    pub(crate) events_dead: IntCounterVec,
    pub(crate) queue_events: IntGaugeVec,
    pub(crate) runs: IntCounterVec,
    pub(crate) run_duration: HistogramVec,
    pub(crate) run_memory: HistogramVec,
    pub(crate) requests: IntCounterVec,
    pub(crate) request_duration: HistogramVec,
    pub(crate) log_rows: IntCounterVec,
    pub(crate) log_bytes: IntCounter,
    pub(crate) log_commit_duration: Histogram,
    pub(crate) log_failures: IntCounter,
    pub(crate) log_segments: IntCounter,
    pub(crate) log_unsealed: IntGauge,
}

impl Families {
    pub(crate) fn register(registry: &Registry) -> Self {
        let register = Register(registry);
        let node = &["stage", "resource"];
        Self {
            events_received: register.counters("tidemill_events_received_total", "Events queued for a stage", node),
            events_delivered: register.counters("tidemill_events_delivered_total", "Events whose outcome was committed", node),
            events_retried: register.counters(
                "tidemill_events_retried_total",
                "Deliveries that failed and were scheduled again",
                node,
            ),
            events_dead: register.counters("tidemill_events_dead_lettered_total", "Events that failed for good", node),
            queue_events: register.gauges("tidemill_queue_events", "Events in the queue by state", &["state"]),
            runs: register.counters(
                "tidemill_runs_total",
                "Runs of stages by outcome",
                &["stage", "resource", "outcome"],
            ),
            run_duration: register.histograms("tidemill_run_duration_seconds", "Time inside the stage", node, &RUN_BUCKETS),
            run_memory: register.histograms(
                "tidemill_run_memory_bytes",
                "Greatest memory of the stage's instance",
                node,
                &MEMORY_BUCKETS,
            ),
            requests: register.counters(REQUESTS, "Prediction requests by HTTP status", &["model", "version", "status"]),
            request_duration: register.histograms(
                REQUEST_DURATION,
                "Time from a prediction request's arrival to its answer, the log's commit included",
                &["model", "version"],
                &LATENCY_BUCKETS,
            ),
            log_rows: register.counters(
                "tidemill_prediction_log_rows_total",
                "Rows committed to the prediction log",
                &["model"],
            ),
            log_bytes: register.counter(
                "tidemill_prediction_log_written_bytes_total",
                "Bytes committed to the write-ahead file",
            ),
            log_commit_duration: register.histogram(
                "tidemill_prediction_log_commit_duration_seconds",
                "Write and fsync of one group of appends",
                &LATENCY_BUCKETS,
            ),
            log_failures: register.counter(
                "tidemill_prediction_log_failures_total",
                "Groups of appends that could not be committed",
            ),
            log_segments: register.counter("tidemill_prediction_log_segments_total", "Parquet segments written"),
            log_unsealed: register.gauge(
                "tidemill_prediction_log_unsealed_bytes",
                "Committed bytes that are not in a Parquet segment yet",
            ),
        }
    }
}

/// Creates and registers families.
struct Register<'a>(&'a Registry);

impl Register<'_> {
    #[allow(clippy::expect_used, reason = "names and labels are constants, and a test registers them all")]
    fn add<C: Collector + Clone + 'static>(&self, family: prometheus::Result<C>) -> C {
        let family = family.expect("a family's name, labels and buckets are valid");
        self.0.register(Box::new(family.clone())).expect("a family is registered once");
        family
    }
    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }
    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }
    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }
    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }
    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }
}
