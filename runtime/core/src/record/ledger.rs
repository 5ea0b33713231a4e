//! The ledger: one outcome for each trigger, and beside it how the run went.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Decision, Digest, ErrorKind, Finding, Trigger};

/// `outcomes/<stage>/<resource>/<trigger id>.json`, create-only: the commit point, the ledger entry and the event for the next stage.
/// The same however often and wherever the run is made: how it went stands in the [`RunRecord`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutcomeRecord {
    /// The stage's name, such as `validate`.
    pub stage: String,
    /// The dataset or model that it was about.
    pub resource: String,
    /// The object that the run was made for.
    pub trigger: Trigger,
    /// Digest over all that decides the outputs; part of their keys.
    pub run_key: String,
    /// SHA-256 of the component's bytes.
    pub component: Digest,
    /// SHA-256 of the resolved configuration.
    pub config: Digest,
    /// Versions of what can change the bytes.
    pub engines: String,
    /// The clock of whoever this triggers.
    pub as_of: Timestamp,
    /// Failed checks are decisions too, not errors.
    pub decision: Decision,
    /// Why, in one line for a person.
    pub reason: String,
    /// What the checks found, in their order.
    pub findings: Vec<Finding>,
    /// For `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorKind>,
    /// The stage's own record as JSON: a [`Part`](super::Part) for `validate`, and so on.
    pub result: serde_json::Value,
    /// Every object that the run wrote, by key.
    pub outputs: Vec<OutputObject>,
    /// Steps since a person or a schedule put something in.
    pub depth: u32,
}

/// An object that a run wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutputObject {
    /// Where it stands in the store.
    pub key: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// What a run looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum ReadRecord {
    /// An object with this content.
    Object {
        /// Where it is.
        key: String,
        /// SHA-256 of its bytes.
        digest: Digest,
    },
    /// A key where nothing was.
    Absent {
        /// Where it was looked for.
        key: String,
    },
    /// A listing with this many keys; the digest is over them and their sizes.
    Listing {
        /// What the listed keys begin with.
        prefix: String,
        /// How many keys there were.
        keys: u64,
        /// Over all keys and sizes.
        digest: Digest,
    },
}

/// `runs/<stage>/<resource>/<trigger id>.json`: how the run went. Not hashed; the last attempt's stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunRecord {
    /// As in the outcome.
    pub run_key: String,
    /// As in the outcome.
    pub stage: String,
    /// As in the outcome.
    pub resource: String,
    /// Wall clock, UTC.
    pub started: Timestamp,
    /// Wall-clock milliseconds, from before the instance was made to the stage's answer.
    pub duration_ms: u64,
    /// Greatest linear memory of the component.
    pub memory_bytes: u64,
    /// 1 for the first run of this trigger, one more for each that went before.
    pub attempt: u32,
    /// What it looked at, each once, by kind and key.
    pub reads: Vec<ReadRecord>,
    /// For a person: machine, version of Tidemill.
    pub environment: BTreeMap<String, String>,
}
