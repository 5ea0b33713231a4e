//! Prometheus families as OTLP metrics. Prometheus counts a histogram's buckets cumulatively, OTLP each by itself.

use std::time::SystemTime;

use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};
use serde_json::{Value, json};

use super::{attribute, nanoseconds, scope};

/// Values count from the start of the process.
const CUMULATIVE: u8 = 2;

/// The body of `POST /v1/metrics`.
pub(super) fn encode(families: &[MetricFamily], resource: &Value, start: SystemTime, now: SystemTime) -> Value {
    let times = Times {
        start: nanoseconds(start),
        now: nanoseconds(now),
    };
    let metrics: Vec<Value> = families.iter().map(|family| times.metric(family)).collect();
    json!({ "resourceMetrics": [{ "resource": resource, "scopeMetrics": [{ "scope": scope(), "metrics": metrics }] }] })
}

struct Times {
    start: String,
    now: String,
}

impl Times {
    fn metric(&self, family: &MetricFamily) -> Value {
        let points = |value: fn(&Metric) -> Value| -> Vec<Value> {
            family.get_metric().iter().map(|metric| self.point(metric, value(metric))).collect()
        };
        let mut metric = json!({ "name": family.name(), "description": family.help(), "unit": unit(family.name()) });
        match family.get_field_type() {
            MetricType::COUNTER => {
                let points = points(|metric| json!({ "asDouble": metric.get_counter().get_value() }));
                metric["sum"] = json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE, "isMonotonic": true });
            }
            MetricType::HISTOGRAM => {
                let points = points(|metric| histogram(metric.get_histogram()));
                metric["histogram"] = json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE });
            }
            _ => metric["gauge"] = json!({ "dataPoints": points(|metric| json!({ "asDouble": metric.get_gauge().get_value() })) }),
        }
        metric
    }

    fn point(&self, metric: &Metric, mut point: Value) -> Value {
        let attributes: Vec<Value> = metric.get_label().iter().map(of_label).collect();
        point["attributes"] = attributes.into();
        point["startTimeUnixNano"] = self.start.as_str().into();
        point["timeUnixNano"] = self.now.as_str().into();
        point
    }
}

fn of_label(label: &LabelPair) -> Value {
    attribute(label.name(), label.value())
}

fn histogram(histogram: &Histogram) -> Value {
    let finite = || histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let bounds: Vec<f64> = finite().map(|bucket| bucket.upper_bound()).collect();
    let mut counts = Vec::with_capacity(bounds.len() + 1);
    let mut below = 0;
    for cumulative in finite()
        .map(|bucket| bucket.cumulative_count())
        .chain([histogram.get_sample_count()])
    {
        // Read while others record: the total may lag behind a bucket.
        counts.push(cumulative.saturating_sub(below).to_string());
        below = below.max(cumulative);
    }
    json!({
        "count": below.to_string(),
        "sum": histogram.get_sample_sum(),
        "explicitBounds": bounds,
        "bucketCounts": counts,
    })
}

/// The unit in UCUM, from the name's last word.
fn unit(name: &str) -> &'static str {
    match name.trim_end_matches("_total").rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "1",
    }
}
