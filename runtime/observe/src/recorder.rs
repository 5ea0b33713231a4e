//! The recorder: what a process did, as counters, histograms and recent spans. Recording takes atomics and, once a series exists, one
//! read lock; nothing is allocated.

use std::{
    sync::{Arc, LazyLock, Weak},
    time::{Duration, SystemTime},
};

use fnv::FnvHashMap;
use parking_lot::{Mutex, RwLock};
use prometheus::{Histogram, IntCounter, Registry, TextEncoder, proto::MetricFamily};

use crate::{
    activity::{Activity, Observer},
    families::Families,
    otlp::Spans,
    serving_aliases,
};

/// Pairs of model and version that get series of their own; further ones count as [`OTHER`].
const MAX_VERSIONS: usize = 500;
/// The label value for models and versions beyond [`MAX_VERSIONS`].
const OTHER: &str = "other";

/// One finished run of a stage.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The stage, such as `validate`.
    pub stage: &'a str,
    /// The dataset or model that it ran for.
    pub resource: &'a str,
    /// Names the run by content; becomes the span's id.
    pub run_key: &'a str,
    /// The key of the object that triggered it.
    pub trigger: &'a str,
    /// `done`, `rejected`, `skipped`, or an error's kind.
    pub outcome: &'a str,
    /// Why, for a person: the outcome's reason, or the error's message.
    pub reason: &'a str,
    /// The first problem that the run found in its input, if there is one.
    pub finding: Option<&'a str>,
    /// Time inside the stage.
    pub duration: Duration,
    /// Greatest memory of its instance.
    pub memory_bytes: u64,
}

/// An event whose delivery failed.
#[derive(Debug, Clone, Copy)]
pub struct FailedEvent<'a> {
    /// The stage that it was for.
    pub stage: &'a str,
    /// The dataset or model that it was for.
    pub resource: &'a str,
    /// The key of the object that caused it.
    pub trigger: &'a str,
    /// Why, for a person.
    pub reason: &'a str,
}

/// Updates gauges just before they are read; see [`Recorder::register_sampler`].
pub type Sampler = dyn Fn(&Recorder) + Send + Sync;

/// Records what a process does. Production code uses the [`global`] one.
pub struct Recorder {
    registry: Registry,
    families: Families,
    versions: RwLock<FnvHashMap<String, FnvHashMap<String, RequestSeries>>>,
    samplers: Mutex<Vec<Weak<Sampler>>>,
    observer: RwLock<Option<Arc<Observer>>>,
    pub(crate) spans: Spans,
    pub(crate) started: SystemTime,
}

/// The handles of one model version.
struct RequestSeries {
    duration: Histogram,
    /// Requests answered with status 200.
    ok: IntCounter,
    labels: [String; 2],
}

/// The process's recorder.
pub fn global() -> &'static Recorder {
    static GLOBAL: LazyLock<Recorder> = LazyLock::new(|| {
        let recorder = Recorder::new();
        #[cfg(target_os = "linux")]
        recorder.register_process();
        recorder
    });
    &GLOBAL
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// An empty recorder, for tests and for processes that export several.
    pub fn new() -> Self {
        let registry = Registry::new();
        Self {
            families: Families::register(&registry),
            registry,
            versions: RwLock::default(),
            samplers: Mutex::default(),
            observer: RwLock::default(),
            spans: Spans::default(),
            started: SystemTime::now(),
        }
    }

    /// Adds `process_*`: memory, CPU time, open files, threads, start time.
    #[cfg(target_os = "linux")]
    fn register_process(&self) {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        if let Err(error) = self.registry.register(Box::new(process)) {
            tracing::warn!("metrics of the process are not available: {error}");
        }
    }

    /// Counts an event that was queued for a stage.
    pub fn record_received(&self, stage: &str, resource: &str) {
        self.families.events_received.with_label_values(&[stage, resource]).inc();
    }

    /// Counts an event whose outcome is committed.
    pub fn record_delivered(&self, stage: &str, resource: &str) {
        self.families.events_delivered.with_label_values(&[stage, resource]).inc();
    }

    /// Counts a delivery that failed and will be repeated.
    pub fn record_retried(&self, event: &FailedEvent<'_>) {
        self.families.events_retried.with_label_values(&[event.stage, event.resource]).inc();
        self.report(&Activity::Retry(*event));
    }

    /// Counts an event that became a dead letter.
    pub fn record_dead_letter(&self, event: &FailedEvent<'_>) {
        self.families.events_dead.with_label_values(&[event.stage, event.resource]).inc();
        self.report(&Activity::DeadLetter(*event));
    }

    /// Passes on what happens to code that shows it to a person, in the place of the observer before.
    pub fn set_observer(&self, observer: Arc<Observer>) {
        *self.observer.write() = Some(observer);
    }

    /// Reports a request that was answered with an error; `target` is the model that it asked for, or its path. It is counted elsewhere,
    /// where more is known of it.
    pub fn report_failed_request(&self, target: &str, status: u16, reason: &str) {
        self.report(&Activity::FailedRequest { target, status, reason });
    }

    fn report(&self, activity: &Activity<'_>) {
        let observer = self.observer.read().clone();
        if let Some(observer) = observer {
            observer(activity);
        }
    }

    /// Sets how many events of the queue are in a state such as `queued`.
    pub fn set_queue_depth(&self, state: &str, events: usize) {
        let gauge = self.families.queue_events.with_label_values(&[state]);
        gauge.set(i64::try_from(events).unwrap_or(i64::MAX));
    }

    /// Counts a finished run and keeps its span until the next export.
    pub fn record_run(&self, run: &Run<'_>) {
        let families = &self.families;
        let node = [run.stage, run.resource];
        families.runs.with_label_values(&[run.stage, run.resource, run.outcome]).inc();
        families.run_duration.with_label_values(&node).observe(run.duration.as_secs_f64());
        families.run_memory.with_label_values(&node).observe(run.memory_bytes as f64);
        self.spans.add(run, SystemTime::now());
        self.report(&Activity::Run(*run));
    }

    /// Counts a prediction request. `version` is the one that answered; for a request that failed before that is known, it is empty.
    ///
    /// `model` must be a model of the project, or empty: the text of a request's path would let clients create series. At most 500
    /// versions have series of their own; later ones count as `other`.
    pub fn record_request(&self, model: &str, version: &str, status: &str, duration: Duration) {
        if let Some(series) = self.versions.read().get(model).and_then(|versions| versions.get(version)) {
            return self.record_in(series, status, duration);
        }
        let mut models = self.versions.write();
        let full = models.values().map(FnvHashMap::len).sum::<usize>() >= MAX_VERSIONS;
        let (model, version) = if full { (OTHER, OTHER) } else { (model, version) };
        let versions = models.entry(model.to_owned()).or_default();
        let series = versions.entry(version.to_owned()).or_insert_with(|| RequestSeries {
            duration: self.families.request_duration.with_label_values(&[model, version]),
            ok: self.families.requests.with_label_values(&[model, version, "200"]),
            labels: [model.to_owned(), version.to_owned()],
        });
        self.record_in(series, status, duration);
    }

    /// Counts a request that no version answered, under the model that it asked for. A model that the recorder doesn't know counts as
    /// empty: see [`declare_model`](Self::declare_model).
    pub fn record_unserved_request(&self, requested: &str, status: &str, duration: Duration) {
        let known = self.versions.read().contains_key(requested);
        self.record_request(if known { requested } else { "" }, "", status, duration);
    }

    /// Makes a model of the project known, so that its failed requests count under its name from the start.
    pub fn declare_model(&self, model: &str) {
        self.versions.write().entry(model.to_owned()).or_default();
    }

    fn record_in(&self, series: &RequestSeries, status: &str, duration: Duration) {
        series.duration.observe(duration.as_secs_f64());
        match status {
            "200" => series.ok.inc(),
            _ => {
                let [model, version] = &series.labels;
                self.families.requests.with_label_values(&[model, version, status]).inc();
            }
        }
    }

    /// Counts rows that a commit of the prediction log made durable.
    pub fn record_logged_rows(&self, model: &str, rows: usize) {
        self.families.log_rows.with_label_values(&[model]).inc_by(rows as u64);
    }

    /// Records one commit of the prediction log, with the bytes that it wrote.
    pub fn record_commit(&self, bytes: usize, duration: Duration) {
        self.families.log_bytes.inc_by(bytes as u64);
        self.families.log_commit_duration.observe(duration.as_secs_f64());
    }

    /// Counts a commit of the prediction log that failed.
    pub fn record_commit_failure(&self) {
        self.families.log_failures.inc();
    }

    /// Counts a Parquet segment that the prediction log wrote.
    pub fn record_segment(&self) {
        self.families.log_segments.inc();
    }

    /// Sets the size of the write-ahead files that are not Parquet yet.
    pub fn set_unsealed_bytes(&self, bytes: u64) {
        self.families.log_unsealed.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Registers code that sets gauges before each export. It is dropped with the caller's `Arc`.
    pub fn register_sampler(&self, sampler: &Arc<Sampler>) {
        let mut samplers = self.samplers.lock();
        samplers.retain(|other| other.strong_count() > 0);
        samplers.push(Arc::downgrade(sampler));
    }

    /// Every family, sampled now, sorted by name.
    pub(crate) fn gather(&self) -> Vec<MetricFamily> {
        // Not under the lock: a sampler may register another.
        let samplers: Vec<_> = self.samplers.lock().iter().filter_map(Weak::upgrade).collect();
        samplers.iter().for_each(|sampler| sampler(self));
        self.registry.gather()
    }

    /// Everything in Prometheus' text format, with MLServer's and KServe's request metrics beside ours.
    pub fn prometheus(&self) -> String {
        let mut families = self.gather();
        families.extend(serving_aliases::derive(&families));
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!("metrics cannot be encoded: {error}");
            String::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(recorder: &Recorder) -> Vec<prometheus_parse::Sample> {
        let lines = recorder.prometheus().lines().map(|line| Ok(line.to_owned())).collect::<Vec<_>>();
        prometheus_parse::Scrape::parse(lines.into_iter()).unwrap().samples
    }

    fn value(samples: &[prometheus_parse::Sample], metric: &str, labels: &[(&str, &str)]) -> f64 {
        let found = samples
            .iter()
            .find(|sample| sample.metric == metric && labels.iter().all(|(name, value)| sample.labels.get(name) == Some(value)));
        match found.map(|sample| &sample.value) {
            Some(
                prometheus_parse::Value::Counter(value) | prometheus_parse::Value::Gauge(value) | prometheus_parse::Value::Untyped(value),
            ) => *value,
            other => panic!("{metric} {labels:?}: {other:?}"),
        }
    }

    #[test]
    fn a_parser_reads_every_family() {
        let recorder = Recorder::new();
        recorder.record_received("validate", "flights");
        recorder.record_delivered("validate", "flights");
        let failed = FailedEvent {
            stage: "validate",
            resource: "flights",
            trigger: "raw/flights/a.csv",
            reason: "the store does not answer",
        };
        recorder.record_retried(&failed);
        recorder.record_dead_letter(&failed);
        recorder.record_run(&Run {
            stage: "validate",
            resource: "flights",
            run_key: "0123",
            trigger: "raw/flights/a.csv",
            outcome: "rejected",
            reason: "all rows are bad",
            finding: None,
            duration: Duration::from_millis(30),
            memory_bytes: 20 << 20,
        });
        recorder.record_request("late", "3", "200", Duration::from_millis(1));
        recorder.record_request("late", "4", "200", Duration::from_millis(60));
        recorder.record_unserved_request("late", "400", Duration::from_micros(80));
        recorder.record_unserved_request("made up", "404", Duration::from_micros(80));
        recorder.record_logged_rows("late", 2);
        recorder.record_commit(700, Duration::from_micros(900));
        recorder.record_commit_failure();
        recorder.record_segment();
        recorder.set_unsealed_bytes(700);
        let sampler: Arc<Sampler> = Arc::new(|recorder: &Recorder| recorder.set_queue_depth("queued", 5));
        recorder.register_sampler(&sampler);

        let samples = samples(&recorder);
        for event in ["received", "delivered", "retried", "dead_lettered"] {
            assert_eq!(
                value(&samples, &format!("tidemill_events_{event}_total"), &[("resource", "flights")]),
                1.0
            );
        }
        assert_eq!(
            value(&samples, "tidemill_runs_total", &[("outcome", "rejected"), ("stage", "validate")]),
            1.0
        );
        assert_eq!(value(&samples, "tidemill_run_memory_bytes_count", &[("stage", "validate")]), 1.0);
        assert_eq!(value(&samples, "tidemill_requests_total", &[("status", "400")]), 1.0);
        assert_eq!(value(&samples, "tidemill_queue_events", &[("state", "queued")]), 5.0);
        assert_eq!(value(&samples, "tidemill_prediction_log_rows_total", &[("model", "late")]), 2.0);
        assert_eq!(value(&samples, "tidemill_prediction_log_unsealed_bytes", &[]), 700.0);
        let version = |version| [("model", "late"), ("version", version)];
        assert_eq!(value(&samples, "model_infer_request_success_total", &version("4")), 1.0);
        assert_eq!(value(&samples, "model_infer_request_failure_total", &version("")), 1.0);
        assert_eq!(value(&samples, "tidemill_requests_total", &[("model", ""), ("status", "404")]), 1.0);
        assert_eq!(value(&samples, "model_infer_request_duration_count", &version("3")), 1.0);
        assert_eq!(value(&samples, "request_predict_seconds_count", &[("model_name", "late")]), 3.0);
        drop(sampler);
    }

    #[test]
    fn labels_are_escaped_and_bounded() {
        let recorder = Recorder::new();
        recorder.record_logged_rows("a\"b\\c\nd", 1);
        assert!(
            recorder.prometheus().contains(r#"{model="a\"b\\c\nd"} 1"#),
            "{}",
            recorder.prometheus()
        );
        for version in 0..MAX_VERSIONS + 10 {
            recorder.record_request("m", &version.to_string(), "200", Duration::ZERO);
        }
        let samples = samples(&recorder);
        assert_eq!(value(&samples, "tidemill_requests_total", &[("model", OTHER)]), 10.0);
        let series = samples.iter().filter(|sample| sample.metric == "tidemill_requests_total").count();
        assert_eq!(series, MAX_VERSIONS + 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_global_recorder_knows_the_process() {
        let text = global().prometheus();
        assert!(
            text.contains("process_resident_memory_bytes") && text.contains("process_cpu_seconds_total"),
            "{text}"
        );
    }
}
