//! What stages leave for each other: the `result` of outcomes, and the JSON objects in the store. All are kebab-case JSON,
//! refuse unknown fields nowhere (so that an older reader lives with a newer writer), and hold no wall-clock time.

mod audit;
mod data;
mod ledger;
mod model;

use serde::Serialize;

use crate::{Error, Result};

pub use audit::{AuditAction, AuditRecord, AuditResult};
pub use data::{ColumnProfile, DataFile, FeatureSet, Profile, ProfileKind, Signature, SignatureColumn};
pub use ledger::{OutcomeRecord, OutputObject, ReadRecord, RunRecord};
pub use model::{
    ColumnDrift, Evaluation, MetricSlice, ModelAlias, ModelVersion, MonitoringReport, MonitoringWindow, Registration, RetrainAction,
    RetrainDecision, TrainingRequest, TrainingResult, WindowSegments, WindowSummary,
};

/// A record as it is stored: pretty JSON with a newline at the end.
pub fn to_bytes(record: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(record).map_err(|e| Error::bug(format!("a record cannot be written as JSON: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}
