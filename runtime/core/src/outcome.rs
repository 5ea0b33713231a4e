//! What a run decided. Bad data, drift and a failed gate are outcomes; an error means that nothing could be decided.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `Done` triggers what is chained on the outcome; the others are recorded only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The stage did its work.
    Done,
    /// The input was looked at and refused.
    Rejected,
    /// There was nothing to do.
    Skipped,
    /// The run failed for good: written by the host, never by a stage.
    Failed,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Reported.
    Warning,
    /// Rejects the row, the dataset or the candidate.
    Error,
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// The check's name: `range`, `not-null`, `auc >= 0.6`.
    pub check: String,
    /// A column, a metric, a file.
    pub target: String,
    /// How bad.
    pub severity: Severity,
    /// For a person.
    pub message: String,
    /// Rows concerned, where that means something.
    #[serde(default)]
    pub count: u64,
}

/// What a run decided, before the host adds what it wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// What happens next.
    pub decision: Decision,
    /// One sentence for a person.
    pub reason: String,
    /// What the checks found.
    pub findings: Vec<Finding>,
    /// A JSON object: what the next stage needs to know (see [`record`](crate::record)).
    pub result: serde_json::Value,
    /// The data time that this run established, if it did.
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
    /// The stage did its work; `facts` is one of the types in [`record`](crate::record).
    pub fn done(reason: impl Into<String>, facts: &impl Serialize) -> Self {
        Self {
            result: serde_json::to_value(facts).unwrap_or_default(),
            ..Self::new(Decision::Done, reason)
        }
    }
    /// The input was refused, for what was found.
    pub fn rejected(reason: impl Into<String>, findings: Vec<Finding>) -> Self {
        Self {
            findings,
            ..Self::new(Decision::Rejected, reason)
        }
    }
    /// There was nothing to do.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self::new(Decision::Skipped, reason)
    }
    /// With findings.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings = findings;
        self
    }
    /// With facts.
    #[must_use]
    pub fn with_result(mut self, facts: &impl Serialize) -> Self {
        self.result = serde_json::to_value(facts).unwrap_or_default();
        self
    }
    /// With a data time.
    #[must_use]
    pub fn with_as_of(mut self, as_of: Timestamp) -> Self {
        self.as_of = Some(as_of);
        self
    }
}
