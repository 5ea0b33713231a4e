//! Metrics and run spans of one process.
//!
//! Code that does work calls the [`Recorder`] that [`global`] returns; it never sees an exporter. [`Recorder::prometheus`] renders
//! everything as Prometheus text, and an [`otlp::Exporter`] pushes the same registry to an OpenTelemetry collector.
//!
//! ```
//! use std::time::Duration;
//! use tidemill_observe::Recorder;
//!
//! let recorder = Recorder::new();
//! recorder.record_request("late", "3", "200", Duration::from_millis(2));
//! let text = recorder.prometheus();
//! assert!(text.contains(r#"tidemill_requests_total{model="late",status="200",version="3"} 1"#));
//! assert!(text.contains(r#"model_infer_request_success_total{model="late",version="3"} 1"#));
//! ```
//!
//! What fails and what was done is also passed to an observer, as an [`Activity`]; [`ActivityLines`] renders it for a terminal.
//!
//! Label values come from `tidemill.toml` (stages, resources, models) and from the registry (versions), never from a request's text,
//! so that a client can't create series: see [`Recorder::record_request`].

mod activity;
mod families;
pub mod otlp;
mod recorder;
mod serving_aliases;

pub use activity::{Activity, ActivityLines, Observer};
pub use recorder::{FailedEvent, Recorder, Run, Sampler, global};

/// The content type of [`Recorder::prometheus`].
pub const PROMETHEUS_CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;
