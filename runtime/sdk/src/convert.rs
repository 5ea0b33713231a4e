//! Between the contract's words and ours. A new case on either side must fail to compile here, so no match has a wildcard.

use tidemill_core::{Decision, Digest, Error, ErrorKind, Finding, Format, Level, Meta, Outcome, Put, Result, Severity, Table, Trigger};

use crate::bindings::tidemill::stage::{objects, progress, sql, types};

pub(crate) fn trigger(trigger: types::Trigger) -> Result<Trigger> {
    Ok(Trigger {
        digest: digest(&trigger.digest)?,
        key: trigger.key,
    })
}

pub(crate) fn digest(text: &str) -> Result<Digest> {
    Digest::parse(text).ok_or_else(|| Error::bug(format!("the host gave `{text}` where a SHA-256 in lower-case hex belongs")))
}

pub(crate) fn error(error: types::Error) -> Error {
    let kind = match error.kind {
        types::ErrorKind::Config => ErrorKind::Config,
        types::ErrorKind::Input => ErrorKind::Input,
        types::ErrorKind::NotFound => ErrorKind::NotFound,
        types::ErrorKind::Transient => ErrorKind::Transient,
        types::ErrorKind::Limit => ErrorKind::Limit,
        types::ErrorKind::Bug => ErrorKind::Bug,
    };
    Error::new(kind, error.message)
}

pub(crate) fn error_out(error: Error) -> types::Error {
    let kind = match error.kind {
        ErrorKind::Config => types::ErrorKind::Config,
        ErrorKind::Input => types::ErrorKind::Input,
        ErrorKind::NotFound => types::ErrorKind::NotFound,
        ErrorKind::Transient => types::ErrorKind::Transient,
        ErrorKind::Limit => types::ErrorKind::Limit,
        ErrorKind::Bug => types::ErrorKind::Bug,
    };
    types::Error {
        kind,
        message: error.message,
    }
}

pub(crate) fn outcome_out(outcome: Outcome) -> Result<types::Outcome> {
    let decision = match outcome.decision {
        Decision::Done => types::Decision::Done,
        Decision::Rejected => types::Decision::Rejected,
        Decision::Skipped => types::Decision::Skipped,
        Decision::Failed => {
            return Err(Error::bug(
                "the stage returned an outcome that `failed`, which only the host writes: return an error instead",
            ));
        }
    };
    Ok(types::Outcome {
        decision,
        reason: outcome.reason,
        findings: outcome.findings.into_iter().map(finding_out).collect(),
        facts: outcome.facts.to_string(),
        as_of: outcome.as_of.map(|time| time.to_string()),
    })
}

fn finding_out(finding: Finding) -> types::Finding {
    types::Finding {
        check: finding.check,
        resource: finding.resource,
        severity: match finding.severity {
            Severity::Warning => types::Severity::Warning,
            Severity::Error => types::Severity::Error,
        },
        message: finding.message,
        count: finding.count,
    }
}

pub(crate) fn meta(meta: objects::Meta) -> Meta {
    Meta {
        key: meta.key,
        size: meta.size,
    }
}

pub(crate) fn put(put: objects::PutResult) -> Put {
    match put {
        objects::PutResult::Written => Put::Written,
        objects::PutResult::Unchanged => Put::Unchanged,
        objects::PutResult::Conflict => Put::Conflict,
    }
}

pub(crate) fn level_out(level: Level) -> progress::Level {
    match level {
        Level::Debug => progress::Level::Debug,
        Level::Info => progress::Level::Info,
        Level::Warning => progress::Level::Warning,
    }
}

pub(crate) fn tables_out(tables: &[Table]) -> Vec<sql::Table> {
    let table = |table: &Table| sql::Table {
        name: table.name.clone(),
        keys: table.keys.clone(),
        format: match table.format {
            Format::Parquet => sql::Format::Parquet,
            Format::Csv => sql::Format::Csv,
            Format::JsonLines => sql::Format::JsonLines,
        },
    };
    tables.iter().map(table).collect()
}
