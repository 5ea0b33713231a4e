//! What a deployed project costs: while nothing happens, and for a million predictions. An estimate is worth what it assumes, so
//! all that it assumes stands in one table, [`Assumptions`], and may be overridden.

use serde::{Deserialize, Serialize};
use tidemill_core::{Error, Result};

use crate::sam::{PREDICT_PROGRAM, Sam, resources::Properties, template::Resource};

/// Prices in US dollars, and the load that is reckoned with. AWS's free allowances are left out: they belong to the account, not to the
/// project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Assumptions {
    /// Where the prices hold.
    pub region: String,
    /// When they held: list prices as published then; nothing is looked up.
    pub as_of: String,
    /// A gigabyte-second of Lambda on arm64.
    pub lambda_gigabyte_second: f64,
    /// A million calls of Lambda.
    pub lambda_million_calls: f64,
    /// A million puts and lists in S3.
    pub s3_million_puts: f64,
    /// A million gets from S3.
    pub s3_million_gets: f64,
    /// A gigabyte in S3 for a month.
    pub s3_gigabyte_month: f64,
    /// A million requests to SQS.
    pub sqs_million_requests: f64,
    /// A million of S3's events on EventBridge.
    pub events_million: f64,
    /// A million calls by EventBridge Scheduler.
    pub scheduler_million_calls: f64,
    /// A gigabyte of logs taken in by CloudWatch.
    pub logs_gigabyte: f64,
    /// An alarm on one metric for a month.
    pub alarm_month: f64,
    /// How often Lambda asks an empty queue in a month: five pollers, each 20 seconds.
    pub empty_receives_month: f64,
    /// Milliseconds that one request for predictions is billed.
    pub request_milliseconds: f64,
    /// Rows in one request.
    pub request_rows: f64,
    /// Bytes that a function logs for one call.
    pub call_log_bytes: f64,
    /// Bytes of the object that holds one request's rows.
    pub request_object_bytes: f64,
    /// Milliseconds that one look of the coordinator is billed.
    pub coordinator_milliseconds: f64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            as_of: "2026-06".to_owned(),
            lambda_gigabyte_second: 0.000_013_333_4,
            lambda_million_calls: 0.20,
            s3_million_puts: 5.00,
            s3_million_gets: 0.40,
            s3_gigabyte_month: 0.023,
            sqs_million_requests: 0.40,
            events_million: 1.00,
            scheduler_million_calls: 1.00,
            logs_gigabyte: 0.50,
            alarm_month: 0.10,
            empty_receives_month: 657_000.0,
            request_milliseconds: 10.0,
            request_rows: 1.0,
            call_log_bytes: 350.0,
            request_object_bytes: 8_000.0,
            coordinator_milliseconds: 500.0,
        }
    }
}

impl Assumptions {
    /// Whether every number can be reckoned with. `Config` names the one that cannot.
    pub fn check(&self) -> Result<()> {
        let value = serde_json::to_value(self).map_err(|e| Error::bug(format!("assumptions cannot be read back: {e}")))?;
        let fields = value.as_object().into_iter().flatten();
        for (name, number) in fields.filter_map(|(name, value)| Some((name, value.as_f64()?))) {
            if number < 0.0 || (name == "request-rows" && number < 1.0) {
                let least = if name == "request-rows" { 1 } else { 0 };
                return Err(Error::config(format!(
                    "the assumption `{name}` is `{number}`: it is at least {least}"
                )));
            }
        }
        Ok(())
    }
}

/// What a project costs, in US dollars.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cost {
    /// A month in which nothing happens.
    pub idle: Vec<Line>,
    /// Their sum.
    pub idle_month: f64,
    /// What `Alarms=all` adds to it.
    pub all_alarms_month: f64,
    /// A million predictions.
    pub predictions: Vec<Line>,
    /// Their sum.
    pub million_predictions: f64,
    /// What is assumed.
    pub assumptions: Assumptions,
}

/// A part of a sum.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// What is paid for.
    pub what: String,
    /// How much.
    pub dollars: f64,
}

/// Reckons the cost of what a template makes.
pub fn of(sam: &Sam, assumptions: &Assumptions) -> Cost {
    let count = |is_counted: &dyn Fn(&Resource) -> bool| sam.template.resources.iter().filter(|(_, r)| is_counted(r)).count() as f64;
    let queues = count(&|r| matches!(&r.properties, Properties::Function(function) if !function.events.is_empty()));
    let alarms = |condition: &str| count(&|r| r.condition == Some(condition) && matches!(r.properties, Properties::Alarm(_)));
    let essential = alarms("EssentialAlarms");
    let a = assumptions;
    let idle = vec![
        line(
            format!("{queues} queues that Lambda asks for events"),
            queues * a.empty_receives_month * a.sqs_million_requests / 1e6,
        ),
        line(format!("{essential} alarms"), essential * a.alarm_month),
        line(format!("{} looks of the coordinator", sam.looks.round()), looks(sam, a)),
    ];
    let predictions = if sam.programs.iter().any(|program| program == PREDICT_PROGRAM) {
        predictions(sam, a)
    } else {
        Vec::new()
    };
    Cost {
        idle_month: total(&idle),
        idle,
        all_alarms_month: alarms("AllAlarms") * a.alarm_month,
        million_predictions: total(&predictions),
        predictions,
        assumptions: a.clone(),
    }
}

/// A look: a schedule's call, the queue's three requests, a run, and a few lists.
fn looks(sam: &Sam, a: &Assumptions) -> f64 {
    let lists = 4.0;
    let queue = 3.0 * a.sqs_million_requests;
    let calls = a.scheduler_million_calls + a.lambda_million_calls + queue + lists * a.s3_million_puts;
    sam.looks * (calls / 1e6 + seconds(sam, "CoordinatorMemory", a.coordinator_milliseconds) * a.lambda_gigabyte_second + logged(a))
}

fn predictions(sam: &Sam, a: &Assumptions) -> Vec<Line> {
    let requests = 1e6 / a.request_rows;
    let millions = requests / 1e6;
    vec![
        line("calls of the function".to_owned(), millions * a.lambda_million_calls),
        line(
            format!("{} ms each", a.request_milliseconds),
            requests * seconds(sam, "PredictMemory", a.request_milliseconds) * a.lambda_gigabyte_second,
        ),
        line("one object each, put before the answer".to_owned(), millions * a.s3_million_puts),
        line("one event for each object".to_owned(), millions * a.events_million),
        line("one look each at the alias".to_owned(), millions * a.s3_million_gets),
        line("the function's log".to_owned(), requests * logged(a)),
        line(
            "a month in S3".to_owned(),
            requests * a.request_object_bytes / 1e9 * a.s3_gigabyte_month,
        ),
    ]
}

fn line(what: String, dollars: f64) -> Line {
    Line { what, dollars }
}

fn total(lines: &[Line]) -> f64 {
    lines.iter().map(|line| line.dollars).sum()
}

/// Gigabyte-seconds of one call.
fn seconds(sam: &Sam, memory: &str, milliseconds: f64) -> f64 {
    let mut parameters = sam.template.parameters.iter();
    let megabytes = parameters
        .find(|(name, _)| *name == memory)
        .map_or(0, |(_, parameter)| parameter.default.number());
    megabytes as f64 / 1024.0 * milliseconds / 1000.0
}

/// One call's log.
fn logged(a: &Assumptions) -> f64 {
    a.call_log_bytes / 1e9 * a.logs_gigabyte
}

impl Cost {
    /// As lines, with what is assumed.
    pub fn render_text(&self) -> String {
        let a = &self.assumptions;
        let parts = |lines: &[Line]| {
            let lines: Vec<String> = lines
                .iter()
                .map(|line| format!("  {:>8}  {}", dollars(line.dollars), line.what))
                .collect();
            lines.join("\n")
        };
        let mut text = format!(
            "while nothing happens: {} a month ({} more with Alarms=all), and {} for each stored gigabyte\n{}",
            dollars(self.idle_month),
            dollars(self.all_alarms_month),
            dollars(a.s3_gigabyte_month),
            parts(&self.idle)
        );
        if !self.predictions.is_empty() {
            text.push_str(&format!(
                "\na million predictions, {} to a request: {}\n{}",
                a.request_rows,
                dollars(self.million_predictions),
                parts(&self.predictions)
            ));
        }
        text.push_str(&format!(
            "\nassumed: list prices of {} in {}, arm64, no free allowances; `--assume <file>` overrides any of it, `--json` shows all of it",
            a.region, a.as_of
        ));
        text
    }
}

fn dollars(amount: f64) -> String {
    format!("${amount:.2}")
}
