//! Specifications of datasets, features and models: the tables of `tidemill.toml` and, once resolved, the configuration of stages.

mod dataset;
mod drift;
mod features;
mod model;

pub use dataset::{Assertion, Collect, CollectSource, Column, ColumnType, Contract, ContractValue, Dataset, SqlAssertion};
pub use drift::DriftMethod;
pub(crate) use features::default_validation_share;
pub use features::{Encoding, Features, Holdout, Impute, TransformRule};
pub use model::{Model, Monitor, Retrain, Task, Trainer, TrainerKind};
