//! OTLP over HTTP with JSON bodies: `POST <endpoint>/v1/metrics` and `/v1/traces`, every interval and once more at the end.
//!
//! An unreachable collector costs nothing but a warning: metrics are cumulative, and spans beyond a bound are dropped.

mod metrics;
mod spans;

use std::{
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

pub(crate) use spans::Spans;

use crate::Recorder;

/// How long one request to the collector may take.
const PUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Where and how often metrics are pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The collector's base URL, such as `http://collector:4318`.
    pub endpoint: String,
    /// Time between two pushes.
    pub interval: Duration,
    /// `service.name` of the resource: the project's name.
    pub service: String,
}

/// Pushes a recorder's metrics and spans from a thread of its own.
pub struct Exporter {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Exporter {
    /// Starts pushing.
    pub fn start(settings: Settings, recorder: &'static Recorder) -> Self {
        let (stop, stopped) = mpsc::channel();
        recorder.spans.enable();
        let thread = std::thread::spawn(move || {
            let mut pusher = Pusher::new(settings, recorder);
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(pusher.settings.interval) {
                pusher.push();
            }
            pusher.push();
        });
        Self { stop, thread }
    }

    /// Pushes once more and ends the thread. Blocks up to twice ten seconds where the collector doesn't answer.
    pub fn stop(self) {
        drop(self.stop);
        let _panicked = self.thread.join();
    }
}

struct Pusher {
    settings: Settings,
    recorder: &'static Recorder,
    agent: ureq::Agent,
    failing: bool,
}

impl Pusher {
    fn new(settings: Settings, recorder: &'static Recorder) -> Self {
        let agent = ureq::Agent::config_builder().timeout_global(Some(PUSH_TIMEOUT)).build().into();
        Self {
            settings,
            recorder,
            agent,
            failing: false,
        }
    }

    fn push(&mut self) {
        let now = SystemTime::now();
        let resource = resource(&self.settings.service);
        let metrics = metrics::encode(&self.recorder.gather(), &resource, self.recorder.started, now);
        let spans = self.recorder.spans.take();
        let pushed = self.post("metrics", &metrics).and_then(|()| match spans.is_empty() {
            true => Ok(()),
            false => self.post("traces", &spans::encode(&spans, &resource)),
        });
        match pushed {
            Ok(()) if std::mem::take(&mut self.failing) => tracing::info!("`{}` accepts metrics again", self.settings.endpoint),
            Ok(()) => {}
            // Once, not at every interval.
            Err(error) if !std::mem::replace(&mut self.failing, true) => {
                tracing::warn!("metrics cannot be pushed to `{}`: {error}", self.settings.endpoint);
            }
            Err(_) => {}
        }
    }

    fn post(&self, signal: &str, body: &Value) -> Result<(), ureq::Error> {
        let url = format!("{}/v1/{signal}", self.settings.endpoint.trim_end_matches('/'));
        self.agent.post(url).send_json(body).map(drop)
    }
}

fn resource(service: &str) -> Value {
    let attributes = [
        attribute("service.name", service),
        attribute("service.version", env!("CARGO_PKG_VERSION")),
        attribute("process.pid", &std::process::id().to_string()),
    ];
    json!({ "attributes": attributes })
}

fn scope() -> Value {
    json!({ "name": "tidemill", "version": env!("CARGO_PKG_VERSION") })
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// 64-bit integers are strings in OTLP's JSON.
fn nanoseconds(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos().to_string()
}
