//! MLServer's and KServe's names for prediction requests, so that their dashboards work. They are derived from our families at each
//! scrape, and cost a request nothing.
//!
//! MLServer 1.7 counts `model_infer_request_success` and `_failure` and keeps a summary `model_infer_request_duration` in seconds, by
//! `model` and `version`; its Python client appends `_total` to counters. KServe keeps a histogram `request_predict_seconds` by
//! `model_name`.

use std::collections::BTreeMap;

use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType, Summary};

use crate::families::{REQUEST_DURATION, REQUESTS};

/// The aliases of what was gathered; empty before the first request.
pub(crate) fn derive(families: &[MetricFamily]) -> Vec<MetricFamily> {
    let metrics = |name: &str| {
        families
            .iter()
            .find(|family| family.name() == name)
            .map_or(&[][..], MetricFamily::get_metric)
    };
    let (requests, durations) = (metrics(REQUESTS), metrics(REQUEST_DURATION));
    let aliases = [
        outcome(
            requests,
            "model_infer_request_success_total",
            "Model infer request success count",
            true,
        ),
        outcome(
            requests,
            "model_infer_request_failure_total",
            "Model infer request failure count",
            false,
        ),
        summary(durations),
        by_model(durations),
    ];
    aliases.into_iter().filter(|family| !family.get_metric().is_empty()).collect()
}

/// Requests by model and version whose status means success, or doesn't.
fn outcome(requests: &[Metric], name: &str, help: &str, success: bool) -> MetricFamily {
    let mut counts = BTreeMap::<(&str, &str), f64>::new();
    for metric in requests {
        let is_success = label(metric, "status").starts_with('2');
        let count = if is_success == success {
            metric.get_counter().get_value()
        } else {
            0.0
        };
        *counts.entry((label(metric, "model"), label(metric, "version"))).or_default() += count;
    }
    let metric = |((model, version), count): ((&str, &str), f64)| {
        let mut metric = Metric::from_label(labels(&[("model", model), ("version", version)]));
        let mut counter = Counter::default();
        counter.set_value(count);
        metric.set_counter(counter);
        metric
    };
    family(name, help, MetricType::COUNTER, counts.into_iter().map(metric).collect())
}

fn summary(durations: &[Metric]) -> MetricFamily {
    let metric = |duration: &Metric| {
        let mut summary = Summary::default();
        summary.set_sample_count(duration.get_histogram().get_sample_count());
        summary.set_sample_sum(duration.get_histogram().get_sample_sum());
        let mut metric = Metric::from_label(duration.get_label().to_vec());
        metric.set_summary(summary);
        metric
    };
    let metrics = durations.iter().map(metric).collect();
    family(
        "model_infer_request_duration",
        "Model infer request duration",
        MetricType::SUMMARY,
        metrics,
    )
}

/// One histogram for each model, over its versions.
fn by_model(durations: &[Metric]) -> MetricFamily {
    let mut models = BTreeMap::<&str, Histogram>::new();
    for metric in durations {
        match models.entry(label(metric, "model")) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(metric.get_histogram().clone());
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => add(entry.get_mut(), metric.get_histogram()),
        }
    }
    let metric = |(model, histogram): (&str, Histogram)| {
        let mut metric = Metric::from_label(labels(&[("model_name", model)]));
        metric.set_histogram(histogram);
        metric
    };
    let metrics = models.into_iter().map(metric).collect();
    family("request_predict_seconds", "predict request latency", MetricType::HISTOGRAM, metrics)
}

/// Adds histograms of the same buckets.
fn add(sum: &mut Histogram, other: &Histogram) {
    sum.set_sample_count(sum.get_sample_count() + other.get_sample_count());
    sum.set_sample_sum(sum.get_sample_sum() + other.get_sample_sum());
    let pairs = sum.get_bucket().iter().zip(other.get_bucket());
    let bucket = |(a, b): (&Bucket, &Bucket)| {
        let mut bucket = a.clone();
        bucket.set_cumulative_count(a.cumulative_count() + b.cumulative_count());
        bucket
    };
    sum.set_bucket(pairs.map(bucket).collect());
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn label<'a>(metric: &'a Metric, name: &str) -> &'a str {
    metric
        .get_label()
        .iter()
        .find(|pair| pair.name() == name)
        .map_or("", LabelPair::value)
}

fn labels(pairs: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    pairs.iter().map(pair).collect()
}
