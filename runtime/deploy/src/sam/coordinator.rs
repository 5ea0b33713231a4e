//! The coordinator does what the flow does besides running stages: it writes scheduled events when they are due, and closes windows that the data has
//! passed. It is called by schedules and by each validated part; what it writes triggers the stages like all else.

use serde_json::json;
use tidemill_core::{Error, Result, pipeline::deployment::CoordinatorSettings, time::Span};

use super::{
    build::Build,
    function::{Program, STORAGE},
    names::Names,
    policy::{Role, allow},
    resources::{DeadLetterConfig, Schedule, Target},
    template::{Resource, Value},
    trigger::Trigger,
};

/// Seconds.
const TIMEOUT: u64 = 900;
/// Megabytes: it reads the ids of a window's predictions.
const MEMORY: u64 = 1024;
/// How often windows are looked at besides: a part whose call was lost is found again.
const LOOK: &str = "1 hour";

/// What the coordinator takes for a schedule's event.
const INPUT: &str = r#"{"source":"aws.scheduler","detail-type":"Scheduled Event","time":"<aws.scheduler.scheduled-time>"}"#;

/// Rules of the policy check that do not fit a schedule.
const SKIPPED: [(&str, &str); 1] = [("CKV_AWS_297", "its input is a time, no secret: a key costs while idle")];

/// Adds the function, if a stage has a schedule or a model is watched.
pub(super) fn add(build: &mut Build) -> Result<()> {
    let settings = CoordinatorSettings::from_pipeline(build.pipeline);
    if settings.schedules.is_empty() && settings.models.is_empty() {
        return Ok(());
    }
    let names = Names::new(&build.pipeline.project, "coordinator")?;
    let prefixes = settings.event_prefixes();
    let config = build.config_file(&names, &settings)?;
    let variables = build.variables(config);
    let memory = build.memory("coordinator", MEMORY);
    let tags = build.tags("coordinator");
    let trigger = Trigger {
        names: &names,
        prefixes: &prefixes,
        timeout: TIMEOUT,
        batch: 10,
        concurrency: 1,
        is_waiting: false,
        dead_letters: None,
        tags: tags.clone(),
    };
    trigger.add(&mut build.template.resources);
    let binary = build.program("coordinator", "tidemill:coordinator");
    let program = Program {
        names: &names,
        description: format!("Closes windows and writes scheduled events of {}", build.pipeline.project),
        binary,
        memory,
        timeout: TIMEOUT,
        storage: STORAGE,
        is_serial: true,
        variables,
        access: settings.access(),
        source: Some(trigger.source()),
        tags,
    };
    program.add(&build.options.programs, &mut build.template.resources);
    let mut spans: Vec<Span> = settings.schedules.iter().map(|schedule| schedule.every).collect();
    if !settings.models.is_empty() {
        spans.push(Span::parse(LOOK)?);
    }
    schedules(build, &names, &spans)
}

/// One schedule for each length of time, however many stages have it.
fn schedules(build: &mut Build, names: &Names, spans: &[Span]) -> Result<()> {
    let mut spans: Vec<String> = spans.iter().map(ToString::to_string).collect();
    spans.sort();
    spans.dedup();
    let (dead, role) = (names.resource("DeadLetters"), names.resource("ScheduleRole"));
    for span in spans {
        build.looks += MONTH / seconds(&span);
        let schedule = Schedule {
            description: format!("Tells the coordinator of {} the time, each {span}", build.pipeline.project),
            schedule_expression: expression(&span)?,
            flexible_time_window: json!({ "Mode": "OFF" }),
            target: Target {
                id: None,
                arn: Value::arn(&names.resource("Function")),
                role_arn: Some(Value::arn(&role)),
                input: Some(INPUT.to_owned()),
                dead_letter_config: Some(DeadLetterConfig { arn: Value::arn(&dead) }),
            },
        };
        let name = format!("{}Each{}", names.logical, super::names::logical(&span.replace(' ', "-")));
        build.template.resources.add(name, Resource::of(schedule).skipping(&SKIPPED));
    }
    let statements = vec![
        allow(
            "InvokeTheCoordinator",
            &["lambda:InvokeFunction"],
            Value::arn(&names.resource("Function")),
        ),
        allow("PutAsideWhatCannotBeCalled", &["sqs:SendMessage"], Value::arn(&dead)),
    ];
    let description = "What schedules may do: call the coordinator".to_owned();
    let properties = Role::of(description, "scheduler.amazonaws.com", statements, build.tags("coordinator"));
    build.template.resources.add(role, Resource::of(properties));
    Ok(())
}

/// Seconds of a month, on average.
const MONTH: f64 = 2_629_746.0;

/// How long a span is.
fn seconds(span: &str) -> f64 {
    let (count, unit) = span.split_once(' ').unwrap_or_default();
    let unit = match unit.trim_end_matches('s') {
        "minute" => 60.0,
        "hour" => 3600.0,
        "day" => 86_400.0,
        "week" => 604_800.0,
        _ => MONTH,
    };
    count.parse().map_or(MONTH, |count: f64| count * unit)
}

/// A span as EventBridge Scheduler writes it: at its beginning by the calendar where the calendar has one, else from the deployment
/// on. A scheduled event is named by the span's beginning, whenever it is written.
fn expression(span: &str) -> Result<String> {
    let (count, unit) = span
        .split_once(' ')
        .ok_or_else(|| Error::bug(format!("the span `{span}` has no unit")))?;
    let number: u64 = count.parse().map_err(|_| Error::bug(format!("the span `{span}` has no count")))?;
    Ok(match (unit.trim_end_matches('s'), number) {
        ("minute", 1) => "cron(* * * * ? *)".to_owned(),
        ("minute", n) if 60 % n == 0 => format!("cron(0/{n} * * * ? *)"),
        ("hour", 1) => "cron(0 * * * ? *)".to_owned(),
        ("hour", n) if 24 % n == 0 => format!("cron(0 0/{n} * * ? *)"),
        ("day", 1) => "cron(0 0 * * ? *)".to_owned(),
        ("week", 1) => "cron(0 0 ? * MON *)".to_owned(),
        ("month", 1) => "cron(0 0 1 * ? *)".to_owned(),
        ("month", n) if 12 % n == 0 => format!("cron(0 0 1 1/{n} ? *)"),
        ("week", n) => format!("rate({} days)", 7 * n),
        ("month", _) => {
            return Err(Error::config(format!(
                "`every = \"{span}\"` cannot be a schedule on AWS: months must divide a year; write 1, 2, 3, 4, 6 or 12 months, or days"
            )));
        }
        (_, _) => format!("rate({span})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_become_schedules() {
        for (span, expected) in [
            ("15 minutes", "cron(0/15 * * * ? *)"),
            ("7 minutes", "rate(7 minutes)"),
            ("1 hour", "cron(0 * * * ? *)"),
            ("6 hours", "cron(0 0/6 * * ? *)"),
            ("1 day", "cron(0 0 * * ? *)"),
            ("10 days", "rate(10 days)"),
            ("2 weeks", "rate(14 days)"),
            ("3 months", "cron(0 0 1 1/3 ? *)"),
        ] {
            assert_eq!(expression(span).unwrap(), expected);
        }
        assert!(expression("5 months").unwrap_err().message.contains("`every = \"5 months\"`"));
    }
}
