//! The ledger: one outcome for each trigger, and a separate record of how the run went.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Decision, Digest, ErrorKind, Finding, Trigger};

/// `outcomes/<stage>/<resource>/<trigger id>.json`, create-only: the commit point, the ledger entry and the event for the next stage.
///
/// The record is the same however often and wherever the run is made; how the run went is in the [`RunRecord`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutcomeRecord {
    /// The stage's name, such as `validate`.
    pub stage: String,
    /// The dataset or model that the run was about.
    pub resource: String,
    /// The object that triggered the run.
    pub trigger: Trigger,
    /// Digest over everything that determines the outputs; part of their keys.
    pub run_key: String,
    /// SHA-256 of the component's bytes.
    pub component: Digest,
    /// SHA-256 of the resolved configuration.
    pub config: Digest,
    /// Versions of the engines that can change the outputs' bytes.
    pub engines: String,
    /// The clock of the stages that this outcome triggers.
    pub as_of: Timestamp,
    /// The decision. Failed checks are decisions too, not errors.
    pub decision: Decision,
    /// The reason, in one line for a person.
    pub reason: String,
    /// The findings of the checks, in order.
    pub findings: Vec<Finding>,
    /// The kind of the error, if the decision is `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorKind>,
    /// The stage's own record as JSON: a [`DataFile`](super::DataFile) for `validate`, and so on.
    pub result: serde_json::Value,
    /// Every object that the run wrote, by key.
    pub outputs: Vec<OutputObject>,
    /// Number of steps since a user or a schedule started the chain.
    pub depth: u32,
}

/// An object that a run wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutputObject {
    /// Key of the object in the store.
    pub key: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// A read of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum ReadRecord {
    /// An object with this content.
    Object {
        /// Key of the object.
        key: String,
        /// SHA-256 of its bytes.
        digest: Digest,
    },
    /// A key without an object.
    Absent {
        /// The key.
        key: String,
    },
    /// A listing with this many keys; the digest is over them and their sizes.
    Listing {
        /// Prefix of the listed keys.
        prefix: String,
        /// Number of keys.
        keys: u64,
        /// Digest over all keys and sizes.
        digest: Digest,
    },
}

/// `runs/<stage>/<resource>/<trigger id>.json`: how the run went. Not hashed; the record of the last attempt is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunRecord {
    /// As in the outcome.
    pub run_key: String,
    /// As in the outcome.
    pub stage: String,
    /// As in the outcome.
    pub resource: String,
    /// Start of the run, wall clock, UTC.
    pub started: Timestamp,
    /// Wall-clock milliseconds, from before the instance is created to the stage's answer.
    pub duration_ms: u64,
    /// Peak linear memory of the component.
    pub memory_bytes: u64,
    /// 1 for the first run of this trigger, then one more for each further run.
    pub attempt: u32,
    /// Everything that the run read, each item once, by kind and key.
    pub reads: Vec<ReadRecord>,
    /// The environment, for a person: machine, version of Tidemill.
    pub environment: BTreeMap<String, String>,
}
