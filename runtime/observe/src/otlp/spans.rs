//! Finished runs as spans. Each is a trace of its own, named by its run key, so that a span can be found from an outcome record.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{attribute, nanoseconds, scope};
use crate::Run;

/// Spans that wait for an export; older ones are dropped.
const MAX_SPANS: usize = 4096;

/// Finished runs that were not exported yet. Empty until an exporter enables it.
#[derive(Default)]
pub(crate) struct Spans {
    enabled: AtomicBool,
    waiting: Mutex<VecDeque<Span>>,
}

/// One run, owned.
pub(super) struct Span {
    stage: String,
    resource: String,
    run_key: String,
    outcome: String,
    end: SystemTime,
    duration: Duration,
    memory_bytes: u64,
}

impl Spans {
    pub(crate) fn enable(&self) {
        self.enabled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, run: &Run<'_>, end: SystemTime) {
        if !self.enabled.load(Ordering::Relaxed) {
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.len() == MAX_SPANS {
            waiting.pop_front();
        }
        waiting.push_back(Span {
            stage: run.stage.to_owned(),
            resource: run.resource.to_owned(),
            run_key: run.run_key.to_owned(),
            outcome: run.outcome.to_owned(),
            end,
            duration: run.duration,
            memory_bytes: run.memory_bytes,
        });
    }

    pub(super) fn take(&self) -> VecDeque<Span> {
        std::mem::take(&mut self.waiting.lock())
    }
}

/// The body of `POST /v1/traces`.
pub(super) fn encode(spans: &VecDeque<Span>, resource: &Value) -> Value {
    let spans: Vec<Value> = spans.iter().map(Span::encode).collect();
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "scope": scope(), "spans": spans }] }] })
}

impl Span {
    fn encode(&self) -> Value {
        // OTLP's status codes: unset or error. A rejection is a decision, not an error.
        let decided = matches!(self.outcome.as_str(), "done" | "rejected" | "skipped");
        json!({
            "traceId": hex_prefix(&self.run_key, 32),
            "spanId": hex_prefix(&self.run_key, 16),
            "name": format!("{} {}", self.stage, self.resource),
            "kind": 1,
            "startTimeUnixNano": nanoseconds(self.end.checked_sub(self.duration).unwrap_or(self.end)),
            "endTimeUnixNano": nanoseconds(self.end),
            "attributes": [
                attribute("tidemill.stage", &self.stage),
                attribute("tidemill.resource", &self.resource),
                attribute("tidemill.run_key", &self.run_key),
                attribute("tidemill.outcome", &self.outcome),
                json!({ "key": "tidemill.memory_bytes", "value": { "intValue": self.memory_bytes.to_string() } }),
            ],
            "status": { "code": if decided { 0 } else { 2 } },
        })
    }
}

/// The first digits of a hexadecimal key, padded.
fn hex_prefix(key: &str, digits: usize) -> String {
    let hex: String = key.chars().filter(char::is_ascii_hexdigit).take(digits).collect();
    format!("{hex:1<digits$}")
}
