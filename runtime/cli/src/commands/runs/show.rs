//! `tidemill runs show`: one run, with all that it read and wrote.

use tidemill_catalog::{Catalog, RunEntry};
use tidemill_core::{
    ErrorKind, Finding, Severity,
    record::{OutputObject, ReadRecord},
};

use super::{decision_name, describe_duration};
use crate::output::{Column, Output, fields, table, with_hint};

pub(super) async fn run(catalog: &Catalog, id: &str, output: Output) -> anyhow::Result<()> {
    let found = catalog.run(id).await;
    let entry = found.map_err(|error| match error.kind {
        ErrorKind::NotFound => with_hint(
            error,
            "`tidemill runs --limit 0` lists all runs; `tidemill events` those that failed for good",
        ),
        _ => error.into(),
    })?;
    output.print(&entry, render_text)
}

fn render_text(entry: &RunEntry) -> String {
    let (outcome, run) = (&entry.outcome, entry.run.as_ref());
    let decision = decision_name(outcome.decision);
    let head = fields(&[
        ("run", format!("{} of `{}`: {decision}", outcome.stage, outcome.resource)),
        ("reason", outcome.reason.clone()),
        ("error", outcome.error.map(|kind| kind.as_str().to_owned()).unwrap_or_default()),
        ("trigger", outcome.trigger.key.clone()),
        (
            "started",
            run.map(|run| run.started.strftime("%F %T UTC").to_string()).unwrap_or_default(),
        ),
        ("took", run.map(|run| describe_duration(run.duration_ms)).unwrap_or_default()),
        (
            "memory",
            run.map(|run| format!("{} MiB", run.memory_bytes >> 20)).unwrap_or_default(),
        ),
        ("attempt", run.map(|run| run.attempt.to_string()).unwrap_or_default()),
        ("data until", outcome.as_of.to_string()),
        ("id", entry.id.clone()),
        ("run key", outcome.run_key.clone()),
        ("code", outcome.component.to_string()),
        ("config", outcome.config.to_string()),
        ("engines", outcome.engines.clone()),
    ]);
    let mut parts = vec![head];
    if !outcome.findings.is_empty() {
        parts.push(table(&FINDINGS, outcome.findings.iter().map(finding_cells).collect(), ""));
    }
    if let Some(run) = run {
        let inputs = run.reads.iter().map(read_cells).collect();
        parts.push(table(&INPUTS, inputs, "it read nothing but its trigger"));
    }
    let outputs = outcome.outputs.iter().map(output_cells).collect();
    parts.push(table(&OUTPUTS, outputs, "it wrote nothing but its outcome"));
    parts.join("\n\n")
}

const FINDINGS: [Column<'static>; 5] = [
    Column::word("finding"),
    Column::text("check"),
    Column::text("target"),
    Column::number("rows"),
    Column::text("message"),
];
const INPUTS: [Column<'static>; 2] = [Column::key("input"), Column::word("sha-256")];
const OUTPUTS: [Column<'static>; 3] = [Column::key("output"), Column::number("bytes"), Column::word("sha-256")];

fn finding_cells(finding: &Finding) -> Vec<String> {
    let severity = match finding.severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    vec![
        severity.to_owned(),
        finding.check.clone(),
        finding.target.clone(),
        if finding.count == 0 {
            String::new()
        } else {
            finding.count.to_string()
        },
        finding.message.clone(),
    ]
}

fn read_cells(read: &ReadRecord) -> Vec<String> {
    match read {
        ReadRecord::Object { key, digest } => vec![key.clone(), digest.short().to_owned()],
        ReadRecord::Absent { key } => vec![key.clone(), "(not there)".to_owned()],
        ReadRecord::Listing { prefix, keys, .. } => vec![prefix.clone(), format!("({keys} keys)")],
    }
}

fn output_cells(output: &OutputObject) -> Vec<String> {
    vec![output.key.clone(), output.size.to_string(), output.digest.short().to_owned()]
}
