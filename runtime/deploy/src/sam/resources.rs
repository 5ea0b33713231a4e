//! What each kind of resource has, as far as the template uses it. The names are AWS's; what a field means stands in its
//! documentation.

#![allow(missing_docs, reason = "the fields are AWS's own, by their own names")]

use serde::Serialize;
use serde_json::Value as Json;

use super::{
    policy::{Policy, Role},
    template::{Section, Value},
};

/// A resource's type and properties.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "Type", content = "Properties")]
pub enum Properties {
    #[serde(rename = "AWS::S3::Bucket")]
    Bucket(Box<Bucket>),
    #[serde(rename = "AWS::S3::BucketPolicy")]
    BucketPolicy(BucketPolicy),
    #[serde(rename = "AWS::SQS::Queue")]
    Queue(Queue),
    #[serde(rename = "AWS::SQS::QueuePolicy")]
    QueuePolicy(QueuePolicy),
    #[serde(rename = "AWS::Events::Rule")]
    Rule(Rule),
    #[serde(rename = "AWS::Scheduler::Schedule")]
    Schedule(Schedule),
    #[serde(rename = "AWS::IAM::Role")]
    Role(Role),
    #[serde(rename = "AWS::Logs::LogGroup")]
    LogGroup(LogGroup),
    #[serde(rename = "AWS::CloudWatch::Alarm")]
    Alarm(Alarm),
    #[serde(rename = "AWS::Lambda::Url")]
    Url(Url),
    #[serde(rename = "AWS::Lambda::Permission")]
    Permission(Permission),
    #[serde(rename = "AWS::Serverless::LayerVersion")]
    Layer(Layer),
    #[serde(rename = "AWS::Serverless::Function")]
    Function(Box<Function>),
}

impl Properties {
    /// AWS's name of the kind, which is also what the template says.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bucket(_) => "AWS::S3::Bucket",
            Self::BucketPolicy(_) => "AWS::S3::BucketPolicy",
            Self::Queue(_) => "AWS::SQS::Queue",
            Self::QueuePolicy(_) => "AWS::SQS::QueuePolicy",
            Self::Rule(_) => "AWS::Events::Rule",
            Self::Schedule(_) => "AWS::Scheduler::Schedule",
            Self::Role(_) => "AWS::IAM::Role",
            Self::LogGroup(_) => "AWS::Logs::LogGroup",
            Self::Alarm(_) => "AWS::CloudWatch::Alarm",
            Self::Url(_) => "AWS::Lambda::Url",
            Self::Permission(_) => "AWS::Lambda::Permission",
            Self::Layer(_) => "AWS::Serverless::LayerVersion",
            Self::Function(_) => "AWS::Serverless::Function",
        }
    }
}

macro_rules! properties {
    ($($kind:ident),*) => {
        $(impl From<$kind> for Properties {
            fn from(properties: $kind) -> Self {
                Self::$kind(properties)
            }
        })*
    };
}
properties!(
    BucketPolicy,
    Queue,
    QueuePolicy,
    Rule,
    Schedule,
    Role,
    LogGroup,
    Alarm,
    Url,
    Permission,
    Layer
);

impl From<Bucket> for Properties {
    fn from(bucket: Bucket) -> Self {
        Self::Bucket(Box::new(bucket))
    }
}

impl From<Function> for Properties {
    fn from(function: Function) -> Self {
        Self::Function(Box::new(function))
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    pub key: &'static str,
    pub value: Value,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Bucket {
    pub bucket_encryption: Json,
    pub versioning_configuration: Json,
    pub public_access_block_configuration: Json,
    pub ownership_controls: Json,
    pub notification_configuration: Json,
    pub lifecycle_configuration: Json,
    pub logging_configuration: Json,
    pub tags: Vec<Tag>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BucketPolicy {
    pub bucket: Value,
    pub policy_document: Policy,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Queue {
    pub queue_name: Value,
    pub sqs_managed_sse_enabled: bool,
    /// Seconds.
    pub message_retention_period: u64,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility_timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redrive_policy: Option<Redrive>,
    pub tags: Vec<Tag>,
}

/// Its names are SQS's own, not CloudFormation's.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Redrive {
    pub dead_letter_target_arn: Value,
    pub max_receive_count: u64,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueuePolicy {
    pub queues: Vec<Value>,
    pub policy_document: Policy,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rule {
    pub description: String,
    pub event_pattern: Json,
    pub targets: Vec<Target>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Target {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'static str>,
    pub arn: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_config: Option<DeadLetterConfig>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeadLetterConfig {
    pub arn: Value,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Schedule {
    pub description: String,
    pub schedule_expression: String,
    pub flexible_time_window: Json,
    pub target: Target,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogGroup {
    pub log_group_name: Value,
    pub retention_in_days: Value,
    pub tags: Vec<Tag>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Alarm {
    pub alarm_description: String,
    pub namespace: &'static str,
    pub metric_name: &'static str,
    pub dimensions: Vec<Dimension>,
    pub statistic: &'static str,
    /// Seconds.
    pub period: u64,
    pub evaluation_periods: u64,
    pub comparison_operator: &'static str,
    pub threshold: u64,
    pub treat_missing_data: &'static str,
    pub alarm_actions: Vec<Value>,
    pub tags: Vec<Tag>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Dimension {
    pub name: &'static str,
    pub value: Value,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Url {
    pub target_function_arn: Value,
    pub auth_type: Value,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Permission {
    pub function_name: Value,
    pub action: &'static str,
    pub principal: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_url_auth_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoked_via_function_url: Option<bool>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Layer {
    pub layer_name: Value,
    pub description: String,
    pub content_uri: String,
    pub compatible_runtimes: Vec<&'static str>,
    pub retention_policy: &'static str,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Function {
    pub function_name: Value,
    pub description: String,
    pub code_uri: String,
    pub handler: &'static str,
    pub runtime: &'static str,
    pub architectures: Vec<Value>,
    pub layers: Vec<Value>,
    pub memory_size: Value,
    /// Seconds.
    pub timeout: u64,
    pub ephemeral_storage: EphemeralStorage,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_concurrent_executions: Option<Value>,
    pub role: Value,
    pub logging_config: LoggingConfig,
    pub environment: Environment,
    #[serde(skip_serializing_if = "Section::is_empty")]
    pub events: Section<EventSource>,
    pub tags: Section<Value>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EphemeralStorage {
    /// Megabytes.
    pub size: u64,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LoggingConfig {
    pub log_group: Value,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Environment {
    pub variables: Section<Value>,
}

/// A queue that calls the function.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "Type", content = "Properties")]
pub enum EventSource {
    #[serde(rename = "SQS", rename_all = "PascalCase")]
    Queue {
        queue: Value,
        batch_size: u64,
        function_response_types: [&'static str; 1],
        scaling_config: Scaling,
    },
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Scaling {
    pub maximum_concurrency: u64,
}
