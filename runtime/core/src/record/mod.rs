//! What stages leave for each other: the `facts` of outcomes, and the JSON objects in the store. All are kebab-case JSON,
//! refuse unknown fields nowhere (so that an older reader lives with a newer writer), and hold no wall-clock time.

mod data;
mod ledger;
mod model;

pub use data::{ColumnProfile, DataFile, FeatureSet, Profile, ProfileKind, Signature, SignatureColumn};
pub use ledger::{OutcomeRecord, OutputObject, ReadRecord, RunRecord};
pub use model::{
    ColumnDrift, Evaluation, MetricSlice, ModelAlias, ModelVersion, MonitoringReport, MonitoringWindow, Registration, RetrainAction,
    RetrainDecision, TrainingRequest, TrainingResult, WindowSegments, WindowSummary,
};
