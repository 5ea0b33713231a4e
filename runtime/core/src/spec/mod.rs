//! What the user says of a dataset, of features and of a model. These are both the tables of `tidemill.toml`
//! and, resolved, the configuration that stages get.

mod dataset;
mod drift;
mod features;
mod model;

pub use dataset::{Assertion, Collect, CollectSource, Column, ColumnType, Contract, ContractValue, Dataset, SqlAssertion};
pub use drift::{DriftMethod, DriftMethodInfo};
pub(crate) use features::default_validation_share;
pub use features::{Encoding, Features, Holdout, Impute, TransformRule};
pub use model::{Model, Monitor, Retrain, Task, Trainer, TrainerKind};
