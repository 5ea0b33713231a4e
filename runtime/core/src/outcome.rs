//! The outcome of a run. Bad data, drift and a failed gate are outcomes; an error means that the run could not decide.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Maximum number of findings in an outcome: a record must stay readable.
const MAX_FINDINGS: usize = 10_000;

/// The decision of a run. `Done` triggers the stages chained on the outcome; the others are only recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The stage did its work.
    Done,
    /// The stage checked the input and refused it.
    Rejected,
    /// There was nothing to do.
    Skipped,
    /// The run failed permanently. Written by the host, never by a stage.
    Failed,
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Reported only.
    Warning,
    /// Rejects the row, the dataset or the candidate.
    Error,
}

/// A problem that a check found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// The check's name: `range`, `not-null`, `auc >= 0.6`.
    pub check: String,
    /// The column, metric or file concerned.
    pub target: String,
    /// The severity.
    pub severity: Severity,
    /// A message for a person.
    pub message: String,
    /// The number of rows concerned, where that is meaningful.
    #[serde(default)]
    pub count: u64,
}

/// The outcome of a run, before the host adds the objects that the run wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// The decision, which determines what happens next.
    pub decision: Decision,
    /// The reason, in one sentence for a person.
    pub reason: String,
    /// The findings of the checks.
    pub findings: Vec<Finding>,
    /// A JSON object with what the next stage needs (see [`record`](crate::record)).
    pub result: serde_json::Value,
    /// The data time that this run established, if any.
    pub as_of: Option<Timestamp>,
}

impl Outcome {
    fn new(decision: Decision, reason: impl Into<String>) -> Self {
        Self {
            decision,
            reason: reason.into(),
            findings: Vec::new(),
            result: serde_json::json!({}),
            as_of: None,
        }
    }
    /// An outcome of a stage that did its work; `result` is one of the types in [`record`](crate::record).
    pub fn done(reason: impl Into<String>, result: &impl Serialize) -> Self {
        Self {
            result: serde_json::to_value(result).unwrap_or_default(),
            ..Self::new(Decision::Done, reason)
        }
    }
    /// An outcome that refuses the input because of `findings`.
    pub fn rejected(reason: impl Into<String>, findings: Vec<Finding>) -> Self {
        Self {
            findings,
            ..Self::new(Decision::Rejected, reason)
        }
    }
    /// An outcome of a stage that had nothing to do.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self::new(Decision::Skipped, reason)
    }
    /// Checks the outcome that a component returned: a component may return anything.
    ///
    /// # Errors
    /// `Bug`, with the invalid value in its message.
    pub fn from_stage(decision: Decision, reason: String, findings: Vec<Finding>, result: &str, as_of: Option<&str>) -> Result<Self> {
        let invalid = |problem: String| Error::bug(format!("the stage returned an invalid outcome: {problem}"));
        if findings.len() > MAX_FINDINGS {
            let count = findings.len();
            return Err(invalid(format!(
                "{count} findings, where {MAX_FINDINGS} are allowed; group them and count rows"
            )));
        }
        let value: serde_json::Value = serde_json::from_str(result).map_err(|error| invalid(format!("its result is not JSON: {error}")))?;
        if !value.is_object() {
            let start: String = result.chars().take(40).collect();
            return Err(invalid(format!("its result is `{start}`, where a JSON object is required")));
        }
        let as_of = as_of.map(|text| {
            text.parse()
                .map_err(|_| invalid(format!("its `as-of` is `{text}`, which is not RFC 3339")))
        });
        Ok(Self {
            findings,
            result: value,
            as_of: as_of.transpose()?,
            ..Self::new(decision, reason)
        })
    }
    /// Sets the findings.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings = findings;
        self
    }
    /// Sets the result.
    #[must_use]
    pub fn with_result(mut self, result: &impl Serialize) -> Self {
        self.result = serde_json::to_value(result).unwrap_or_default();
        self
    }
    /// Sets the data time.
    #[must_use]
    pub fn with_as_of(mut self, as_of: Timestamp) -> Self {
        self.as_of = Some(as_of);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn returned(findings: usize, result: &str, as_of: Option<&str>) -> Result<Outcome> {
        let finding = Finding {
            check: "range".into(),
            target: "x".into(),
            severity: Severity::Error,
            message: "out of range".into(),
            count: 1,
        };
        Outcome::from_stage(Decision::Done, "done".into(), vec![finding; findings], result, as_of)
    }

    #[test]
    fn an_invalid_outcome_is_a_bug_that_shows_the_value() {
        returned(MAX_FINDINGS, "{}", Some("2013-05-01T00:00:00Z")).unwrap();
        for (findings, result, as_of, part) in [
            (0, "[1]", None, "`[1]`"),
            (0, "{", None, "JSON"),
            (0, "{}", Some("May"), "`May`"),
            (MAX_FINDINGS + 1, "{}", None, "10001 findings"),
        ] {
            let error = returned(findings, result, as_of).unwrap_err();
            assert!(error.kind == ErrorKind::Bug && error.message.contains(part), "{error}");
        }
    }
}
