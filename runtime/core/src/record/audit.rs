//! Audit records: one for each change of state that a principal requests. Only `tidemill-control` writes them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `audit/<time>-<digest>.json`, create-only: one change that a principal requested, whether it was made or not.
///
/// Unlike other records it holds wall-clock time, because no stage reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuditRecord {
    /// Wall-clock time of the decision, UTC.
    pub at: Timestamp,
    /// The principal, as `<kind>:<name>`: `local:anna`.
    pub principal: String,
    /// The requested action.
    pub action: AuditAction,
    /// The resource that the action applies to: `models/late/aliases/champion`.
    pub resource: String,
    /// The reason, in the words of the principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the change was made.
    pub result: AuditResult,
    /// The reason why the change was not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The state of the resource before the change; null if there was none.
    #[serde(default)]
    pub before: serde_json::Value,
    /// The state of the resource after the change; null if nothing was changed.
    #[serde(default)]
    pub after: serde_json::Value,
}

/// A change of state that a principal can request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditAction {
    /// Point an alias at a version.
    MoveAlias,
    /// Store a model that was trained elsewhere.
    ImportModel,
    /// Store a data file of a dataset.
    PutData,
    /// Run a dead letter's event again.
    RetryDeadLetter,
    /// Keep a dead letter without counting it.
    DropDeadLetter,
    /// Run a stage.
    RequestRun,
}

impl AuditAction {
    /// All actions, for policies and tables.
    pub const ALL: [Self; 6] = [
        Self::MoveAlias,
        Self::ImportModel,
        Self::PutData,
        Self::RetryDeadLetter,
        Self::DropDeadLetter,
        Self::RequestRun,
    ];

    /// The action's name in records and policies: `move-alias`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MoveAlias => "move-alias",
            Self::ImportModel => "import-model",
            Self::PutData => "put-data",
            Self::RetryDeadLetter => "retry-dead-letter",
            Self::DropDeadLetter => "drop-dead-letter",
            Self::RequestRun => "request-run",
        }
    }
}

impl std::fmt::Display for AuditAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a change was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditResult {
    /// The change was made.
    Succeeded,
    /// The principal is not allowed to make the change.
    Denied,
    /// The change was allowed but could not be made, for instance because another principal was faster.
    Failed,
}
