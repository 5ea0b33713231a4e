//! Alarms. They cost while nothing runs, so the default has those alone that mean lost work; `Alarms=all` has the others.

use super::{
    names::Names,
    parameters::{ALARM_TOPIC, ALL_ALARMS, ESSENTIAL_ALARMS},
    resources::{Alarm, Dimension, Tag},
    template::{Resource, Section, Value},
};

/// What an alarm looks at.
struct Watch {
    name: &'static str,
    condition: &'static str,
    metric: &'static str,
    /// The resource that is looked at.
    of: &'static str,
    statistic: &'static str,
    above: u64,
    means: &'static str,
}

const DEAD: Watch = Watch {
    name: "DeadLettersAlarm",
    condition: ESSENTIAL_ALARMS,
    metric: "ApproximateNumberOfMessagesVisible",
    of: "DeadLetters",
    statistic: "Maximum",
    above: 0,
    means: "events failed for good and wait in the dead-letter queue",
};
const ERRORS: Watch = Watch {
    name: "ErrorsAlarm",
    condition: ALL_ALARMS,
    metric: "Errors",
    of: "Function",
    statistic: "Sum",
    above: 0,
    means: "runs ended with an error",
};
const THROTTLES: Watch = Watch {
    name: "ThrottlesAlarm",
    condition: ALL_ALARMS,
    metric: "Throttles",
    of: "Function",
    statistic: "Sum",
    above: 10,
    means: "runs were refused for want of concurrency",
};
const AGE: Watch = Watch {
    name: "AgeAlarm",
    condition: ALL_ALARMS,
    metric: "ApproximateAgeOfOldestMessage",
    of: "Queue",
    statistic: "Maximum",
    above: 0,
    means: "an event waits longer than two of its retries take",
};

/// The alarms of a stage. `retry`: seconds after which an event comes again.
pub(super) fn of_stage(resources: &mut Section<Resource>, names: &Names, retry: u64, tags: &[Tag]) {
    let age = Watch { above: 2 * retry, ..AGE };
    for watch in [DEAD, ERRORS, THROTTLES, age] {
        add(resources, names, &watch, tags);
    }
}

/// The alarms of what answers requests: its errors are somebody's.
pub(super) fn of_server(resources: &mut Section<Resource>, names: &Names, tags: &[Tag]) {
    let errors = Watch {
        condition: ESSENTIAL_ALARMS,
        ..ERRORS
    };
    for watch in [errors, THROTTLES] {
        add(resources, names, &watch, tags);
    }
}

fn add(resources: &mut Section<Resource>, names: &Names, watch: &Watch, tags: &[Tag]) {
    let resource = names.resource(watch.of);
    let (namespace, name, value) = match watch.of {
        "Function" => ("AWS/Lambda", "FunctionName", Value::reference(resource)),
        _ => ("AWS/SQS", "QueueName", Value::attribute(&resource, "QueueName")),
    };
    let alarm = Alarm {
        alarm_description: format!("{}: {}", names.short, watch.means),
        namespace,
        metric_name: watch.metric,
        dimensions: vec![Dimension { name, value }],
        statistic: watch.statistic,
        period: 300,
        evaluation_periods: 1,
        comparison_operator: "GreaterThanThreshold",
        threshold: watch.above,
        treat_missing_data: "notBreaching",
        alarm_actions: vec![Value::only_if(ALARM_TOPIC, Value::reference("AlarmTopic"))],
        tags: tags.to_vec(),
    };
    resources.add(names.resource(watch.name), Resource::of(alarm).when(watch.condition));
}
