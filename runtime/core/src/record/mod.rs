//! Records that stages leave for each other: the `result` of outcomes, and the JSON objects in the store.
//!
//! All of them are kebab-case JSON, accept unknown fields (so that an older reader can read the record of a newer writer), and hold no
//! wall-clock time.

mod audit;
mod data;
mod ledger;
mod model;

use serde::Serialize;

use crate::{Error, Result};

pub use audit::{AuditAction, AuditRecord, AuditResult};
pub use data::{ColumnProfile, DataFile, FeatureSet, Profile, ProfileKind, RowSpan, Signature, SignatureColumn};
pub use ledger::{OutcomeRecord, OutputObject, ReadRecord, RunRecord};
pub use model::{
    ColumnDrift, Evaluation, MetricSlice, ModelAlias, ModelVersion, MonitoringReport, MonitoringWindow, Registration, RetrainAction,
    RetrainDecision, TrainingRequest, TrainingResult, UnjudgedWindow, WindowSegments, WindowSummary,
};

/// Serializes a record as it is stored: pretty JSON with a trailing newline.
pub fn to_bytes(record: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(record).map_err(|e| Error::bug(format!("a record cannot be written as JSON: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}
