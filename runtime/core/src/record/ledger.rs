//! The ledger: one outcome for each trigger, and beside it how the run went.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Decision, Digest, ErrorKind, Finding, Trigger};

/// `outcomes/<stage>/<subject>/<trigger id>.json`, create-only: the commit point, the ledger entry and the event for the next stage.
/// The same however often and wherever the run is made: how it went stands in the [`RunRecord`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct OutcomeRecord {
    pub stage: String,
    pub subject: String,
    pub trigger: Trigger,
    pub run_key: String,
    pub component: Digest,
    pub config: Digest,
    /// Versions of what can change the bytes.
    pub engines: String,
    /// The clock of whoever this triggers.
    pub as_of: Timestamp,
    pub decision: Decision,
    pub reason: String,
    pub findings: Vec<Finding>,
    /// For `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorKind>,
    pub facts: serde_json::Value,
    pub outputs: Vec<Output>,
    /// Steps since a person or a schedule put something in.
    pub hops: u32,
}

/// An object that a run wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Output {
    pub key: String,
    pub digest: Digest,
    pub size: u64,
}

/// What a run looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
#[allow(missing_docs)]
pub enum Read {
    /// An object with this content.
    Object { key: String, digest: Digest },
    /// A key where nothing was.
    Absent { key: String },
    /// A listing with this many keys; the digest is over them and their sizes.
    Listing { prefix: String, keys: u64, digest: Digest },
}

/// `runs/<stage>/<subject>/<trigger id>.json`: how the run went. Not hashed; the last attempt's stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct RunRecord {
    pub run_key: String,
    pub stage: String,
    pub subject: String,
    pub started: Timestamp,
    pub duration_ms: u64,
    /// Greatest linear memory of the component.
    pub memory_bytes: u64,
    pub attempt: u32,
    pub reads: Vec<Read>,
    /// For a person: machine, version of Tidemill.
    pub environment: BTreeMap<String, String>,
}
