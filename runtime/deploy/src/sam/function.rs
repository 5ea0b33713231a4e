//! A function with its log group and its role. The role may do what `grants.rs` derives, write its log, and take from its queue:
//! nothing is granted by a managed policy, whose `*` would reach every queue and log of the account.

use super::{
    grants::{Access, allow, assumed_by},
    names::Names,
    parameters::RESERVED,
    resources::{Environment, EphemeralStorage, EventSource, Function, InlinePolicy, LogGroup, LoggingConfig, Policy, Role, Tag},
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
    /// Adds the function and what belongs to it. `programs` is the folder of the programs, from the template's.
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
        let mut events = Section::default();
        if let Some(source) = self.source {
            events.add("Queue", source);
        }
        let mut tags = Section::default();
        for tag in self.tags {
            tags.add(tag.key, tag.value);
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
    }

    fn role(&self, logs: &str) -> Role {
        let mut statements = self.access.statements();
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
        Role {
            description: format!("What {} may touch, from tidemill.toml", self.names.short),
            assume_role_policy_document: Policy::of(vec![assumed_by("lambda.amazonaws.com")]),
            policies: vec![InlinePolicy {
                policy_name: "grants",
                policy_document: Policy::of(statements),
            }],
            tags: self.tags.clone(),
        }
    }
}
