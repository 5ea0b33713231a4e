//! What is chosen when the stack is deployed, not when the template is written: one template serves every environment.

use super::{
    architecture::Architecture,
    names::ENVIRONMENT,
    template::{Condition, Parameter, Scalar, Template, Value},
};

/// CloudWatch takes these numbers of days alone.
const RETENTION: [u64; 11] = [1, 3, 5, 7, 14, 30, 60, 90, 180, 365, 731];

/// Alarms on what means lost work.
pub(super) const ESSENTIAL_ALARMS: &str = "EssentialAlarms";
/// Every alarm.
pub(super) const ALL_ALARMS: &str = "AllAlarms";
/// Somebody is to be told of alarms.
pub(super) const ALARM_TOPIC: &str = "HasAlarmTopic";
/// Access to the store is logged.
pub(super) const ACCESS_LOG: &str = "HasAccessLogBucket";
/// Concurrency is taken from the account's.
pub(super) const RESERVED: &str = "ReservesConcurrency";
/// Predictions are for everybody.
pub(super) const PUBLIC: &str = "IsPublic";

pub(super) fn add(template: &mut Template, architecture: Architecture) {
    let (parameters, conditions) = (&mut template.parameters, &mut template.conditions);
    let pattern = "[a-z][a-z0-9-]{0,11}";
    debug_assert_eq!(ENVIRONMENT, 12);
    parameters.add(
        "Environment",
        Parameter {
            allowed_pattern: Some(pattern),
            constraint_description: Some("a lower-case letter, then up to 11 lower-case letters, digits and `-`"),
            ..text(
                "dev, staging, production: AWS's tools call it the stage. It is part of every name",
                "dev",
            )
        },
    );
    parameters.add(
        "Architecture",
        Parameter {
            default: Scalar::Text(architecture.name().to_owned()),
            ..choice(
                "What the programs in the package were built for",
                &Architecture::ALL.map(Architecture::name),
            )
        },
    );
    parameters.add(
        "LogRetentionDays",
        Parameter {
            r#type: "Number",
            description: "How long logs are kept".to_owned(),
            default: Scalar::Number(30),
            allowed_values: RETENTION.map(Scalar::Number).to_vec(),
            ..Parameter::default()
        },
    );
    parameters.add(
        "Alarms",
        choice(
            "essential: lost events and failing predictions; all: also errors, throttles and waiting events of each stage",
            &["essential", "all", "none"],
        ),
    );
    parameters.add("AlarmTopic", text("The ARN of an SNS topic for alarms; none if empty", ""));
    parameters.add(
        "AccessLogBucket",
        text("A bucket that logs each access to the store; none if empty", ""),
    );
    parameters.add(
        "ReserveConcurrency",
        choice(
            "Limit stages whose order matters to one concurrent run; `no` for accounts that cannot spare any",
            &["yes", "no"],
        ),
    );
    parameters.add(
        "PredictAuth",
        choice(
            "Who may ask for predictions: signed requests, or (NONE) everybody",
            &["AWS_IAM", "NONE"],
        ),
    );
    let is = |parameter: &str, value: &str| Condition::Equals([Value::reference(parameter), value.into()]);
    let is_not = |parameter: &str, value: &str| Condition::Not([Box::new(is(parameter, value))]);
    conditions.add(ESSENTIAL_ALARMS, is_not("Alarms", "none"));
    conditions.add(ALL_ALARMS, is("Alarms", "all"));
    conditions.add(ALARM_TOPIC, is_not("AlarmTopic", ""));
    conditions.add(ACCESS_LOG, is_not("AccessLogBucket", ""));
    conditions.add(RESERVED, is("ReserveConcurrency", "yes"));
    conditions.add(PUBLIC, is("PredictAuth", "NONE"));
}

fn text(description: &str, default: &str) -> Parameter {
    Parameter {
        r#type: "String",
        description: description.to_owned(),
        default: Scalar::Text(default.to_owned()),
        ..Parameter::default()
    }
}

/// The first is the default.
fn choice(description: &str, values: &[&str]) -> Parameter {
    Parameter {
        allowed_values: values.iter().map(|value| Scalar::Text((*value).to_owned())).collect(),
        ..text(description, values.first().copied().unwrap_or_default())
    }
}
