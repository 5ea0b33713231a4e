//! A function with its log group, its role and its alarms. The role may do what `policy.rs` derives, write its log, and take from its
//! queue: nothing is granted by a managed policy, whose `*` would reach every queue and log of the account. Alarms cost while nothing
//! runs, so the default has those alone that mean lost work; `Alarms=all` has the others.

use tidemill_core::pipeline::deployment::Access;

use super::{
    names::Names,
    parameters::{ALARM_TOPIC, ALL_ALARMS, ESSENTIAL_ALARMS, RESERVED},
    policy::{Role, allow, of_store},
    resources::{Alarm, Dimension, Environment, EphemeralStorage, EventSource, Function, LogGroup, LoggingConfig, Tag},
    template::{Resource, Section, Value},
};

/// The layer with what `tidemill deploy sam` writes: configurations and components.
pub(super) const PROJECT_LAYER: &str = "ProjectLayer";
/// The layer with DuckDB's and ONNX Runtime's libraries.
pub(super) const ENGINES_LAYER: &str = "EnginesLayer";
/// Longest run on Lambda, in seconds.
pub(super) const LONGEST: u64 = 900;
/// Most memory on Lambda, in megabytes.
pub(super) const MOST_MEMORY: u64 = 10_240;

/// `/tmp` in megabytes: Lambda's least.
pub(super) const STORAGE: u64 = 512;

/// Rules of the policy check that do not fit a function here.
const SKIPPED: [(&str, &str); 4] = [
    (
        "CKV_AWS_115",
        "concurrency is limited at the queue, and reserved only where order matters",
    ),
    ("CKV_AWS_116", "the queue before the function has the dead letters"),
    ("CKV_AWS_117", "it needs S3 alone: a network of one's own would cost while idle"),
    ("CKV_AWS_173", "the variables are names, no secrets"),
];
/// And a log group.
const LOG_SKIPPED: [(&str, &str); 2] = [
    (
        "CKV_AWS_158",
        "logs name objects and hold no rows: CloudWatch's own encryption is enough, a key costs while idle",
    ),
    ("CKV_AWS_66", "retention is the parameter LogRetentionDays"),
];

/// What differs between functions.
pub(super) struct Program<'a> {
    pub(super) names: &'a Names,
    pub(super) description: String,
    /// The program's folder in the package: `tidemill-validate`.
    pub(super) binary: &'a str,
    /// The parameter with its memory.
    pub(super) memory: String,
    /// Seconds.
    pub(super) timeout: u64,
    /// Megabytes of `/tmp`.
    pub(super) storage: u64,
    /// One run at once.
    pub(super) is_serial: bool,
    pub(super) variables: Section<Value>,
    pub(super) access: Access,
    /// The queue that calls it.
    pub(super) source: Option<EventSource>,
    pub(super) tags: Vec<Tag>,
}

impl Program<'_> {
    /// Adds the function and what belongs to it, with the alarms of one that a queue calls. `programs` is the folder of the programs,
    /// from the template's.
    pub(super) fn add(self, programs: &str, resources: &mut Section<Resource>) {
        let (logs, role) = (self.names.resource("Logs"), self.names.resource("Role"));
        let group = LogGroup {
            log_group_name: Value::substitute(format!("/aws/lambda/{}", self.names.full)),
            retention_in_days: Value::reference("LogRetentionDays"),
            tags: self.tags.clone(),
        };
        resources.add(&logs, Resource::of(group).skipping(&LOG_SKIPPED));
        resources.add(&role, Resource::of(self.role(&logs)));
        let name = self.names.resource("Function");
        let is_queued = self.source.is_some();
        let mut events = Section::default();
        if let Some(source) = self.source {
            events.add("Queue", source);
        }
        let mut tags = Section::default();
        for tag in &self.tags {
            tags.add(tag.key, tag.value.clone());
        }
        let function = Function {
            function_name: Value::substitute(&self.names.full),
            description: self.description,
            code_uri: format!("{}/{}/", programs.trim_end_matches('/'), self.binary),
            handler: "bootstrap",
            runtime: "provided.al2023",
            architectures: vec![Value::reference("Architecture")],
            layers: vec![Value::reference(ENGINES_LAYER), Value::reference(PROJECT_LAYER)],
            memory_size: Value::reference(self.memory),
            timeout: self.timeout,
            ephemeral_storage: EphemeralStorage { size: self.storage },
            reserved_concurrent_executions: self.is_serial.then(|| Value::only_if(RESERVED, 1.into())),
            role: Value::arn(&role),
            logging_config: LoggingConfig {
                log_group: Value::reference(logs),
            },
            environment: Environment { variables: self.variables },
            events,
            tags,
        };
        resources.add(name, Resource::of(function).skipping(&SKIPPED));
        if is_queued {
            // Two retries: an event comes again after six times the timeout.
            let age = Watch {
                above: 2 * (6 * self.timeout),
                ..AGE
            };
            for watch in [DEAD, ERRORS, THROTTLES, age] {
                watch.add(resources, self.names, &self.tags);
            }
        }
    }

    fn role(&self, logs: &str) -> Role {
        let mut statements = of_store(&self.access);
        statements.push(allow(
            "WriteItsLog",
            &["logs:CreateLogStream", "logs:PutLogEvents"],
            Value::arn(logs),
        ));
        if self.source.is_some() {
            statements.push(allow(
                "TakeFromItsQueue",
                &[
                    "sqs:ReceiveMessage",
                    "sqs:DeleteMessage",
                    "sqs:ChangeMessageVisibility",
                    "sqs:GetQueueAttributes",
                ],
                Value::arn(&self.names.resource("Queue")),
            ));
        }
        let description = format!("What {} may touch, from tidemill.toml", self.names.short);
        Role::of(description, "lambda.amazonaws.com", statements, self.tags.clone())
    }
}

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
    means: "events failed for good: the dead-letter queue holds them, or names their dead letters in the store",
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

/// Adds the alarms of what answers requests, after its URL: its errors are somebody's.
pub(super) fn add_server_alarms(resources: &mut Section<Resource>, names: &Names, tags: &[Tag]) {
    let errors = Watch {
        condition: ESSENTIAL_ALARMS,
        ..ERRORS
    };
    for watch in [errors, THROTTLES] {
        watch.add(resources, names, tags);
    }
}

impl Watch {
    fn add(&self, resources: &mut Section<Resource>, names: &Names, tags: &[Tag]) {
        let resource = names.resource(self.of);
        let (namespace, name, value) = match self.of {
            "Function" => ("AWS/Lambda", "FunctionName", Value::reference(resource)),
            _ => ("AWS/SQS", "QueueName", Value::attribute(&resource, "QueueName")),
        };
        let alarm = Alarm {
            alarm_description: format!("{}: {}", names.short, self.means),
            namespace,
            metric_name: self.metric,
            dimensions: vec![Dimension { name, value }],
            statistic: self.statistic,
            period: 300,
            evaluation_periods: 1,
            comparison_operator: "GreaterThanThreshold",
            threshold: self.above,
            treat_missing_data: "notBreaching",
            alarm_actions: vec![Value::only_if(ALARM_TOPIC, Value::reference("AlarmTopic"))],
            tags: tags.to_vec(),
        };
        resources.add(names.resource(self.name), Resource::of(alarm).when(self.condition));
    }
}
