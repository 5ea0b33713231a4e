//! How a project is served: flags before the environment before `tidemill.toml` before defaults.

use std::time::Duration;

use tidemill_observe::otlp;
use tidemill_store::Store;

use crate::Project;

/// Between two listings of a folder: a file system's cost nothing.
const FOLDER_POLL_SECONDS: u64 = 5;
/// Between two listings of a bucket, which cost money.
const BUCKET_POLL_SECONDS: u64 = 30;
/// Between two pushes of metrics.
const PUSH_SECONDS: u64 = 60;
/// An interval of zero would push all the time.
const MIN_PUSH_INTERVAL: Duration = Duration::from_millis(100);

/// What the caller of [`App::serve`](crate::App::serve) decides.
#[derive(Debug, Clone, Default)]
pub struct ServeSettings {
    /// Seconds between two listings of the prefixes where objects appear; before `poll-seconds` of `tidemill.toml`.
    pub poll_seconds: Option<u64>,
    /// Names under which the server is asked, beside those of `[serve]`.
    pub hosts: Vec<String>,
    /// From the signal to stop to the last connection that is accepted; before `stop-delay-seconds` of `[serve]`.
    pub stop_delay: Option<Duration>,
    /// How long the closing of a window waits for what other servers have logged: longer than they keep rows to themselves. Zero where
    /// there is no other server.
    pub window_delay: Duration,
    /// Base URL of a collector; before `[observe]` of `tidemill.toml`. See [`from_environment`](Self::from_environment).
    pub otlp_endpoint: Option<String>,
    /// Time between two pushes; before `[observe]`.
    pub otlp_interval: Option<Duration>,
}

impl ServeSettings {
    /// Settings of the environment, under OpenTelemetry's own names: `OTEL_EXPORTER_OTLP_ENDPOINT`, and `OTEL_METRIC_EXPORT_INTERVAL` in
    /// milliseconds.
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let milliseconds = variable("OTEL_METRIC_EXPORT_INTERVAL").and_then(|value| value.parse().ok());
        Self {
            otlp_endpoint: variable("OTEL_EXPORTER_OTLP_ENDPOINT"),
            otlp_interval: milliseconds.map(Duration::from_millis),
            ..Self::default()
        }
    }

    /// Where to push, if anywhere.
    pub(crate) fn otlp(&self, project: &Project) -> Option<otlp::Settings> {
        let endpoint = self.otlp_endpoint.clone().or_else(|| project.observe.otlp.clone())?;
        let default = Duration::from_secs(project.observe.interval_seconds.unwrap_or(PUSH_SECONDS));
        Some(otlp::Settings {
            endpoint,
            interval: self.otlp_interval.unwrap_or(default).max(MIN_PUSH_INTERVAL),
            service: project.pipeline.project.clone(),
        })
    }

    /// All names under which the server is asked.
    pub(crate) fn hosts(&self, project: &Project) -> Vec<String> {
        self.hosts.iter().chain(&project.serve.hosts).cloned().collect()
    }

    pub(crate) fn poll_interval(&self, project: &Project, store: &Store) -> Duration {
        let default = match store.bucket() {
            Some(_) => BUCKET_POLL_SECONDS,
            None => FOLDER_POLL_SECONDS,
        };
        Duration::from_secs(self.poll_seconds.or(project.settings.poll_seconds).unwrap_or(default).max(1))
    }
}
