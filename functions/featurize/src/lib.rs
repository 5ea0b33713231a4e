//! Computes features: SQL over a dataset's files, divided into train, validation and holdout slices, and a transform fitted on train alone.
//!
//! - *Reads* the request that triggers it (`requests/<model>/…`) and the data files that the request names.
//! - *Writes* `train.parquet`, `validation.parquet`, `holdout.parquet`, `transform.json`, `profile.json` and `blocks.parquet` under
//!   `features/<model>/<run>/`.
//! - *Decides* `done` with a [`FeatureSet`](tidemill_core::record::FeatureSet), or `rejected` if there is not enough data to train on.
//!
//! A block of time belongs to a slice by its hash alone, so a day that was once held out never enters a later training, and a champion is
//! never evaluated on rows that it has seen.

mod blocks;
mod checks;
mod rows;
mod slices;
mod source;
mod write;

use serde::{Deserialize, Serialize};
use tidemill_core::{
    Finding, Host, ObjectsExt, Outcome, Result, Severity, Stage, Trigger,
    record::TrainingRequest,
    spec::{Dataset, Features, Model},
};

use crate::{
    checks::{check_rows, class_names, error_finding},
    rows::FeatureRows,
    slices::{SlicedRows, assign_slices, slice_at},
    write::FeatureWriter,
};

/// Configuration, from `tidemill.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// The features to compute.
    pub features: Features,
    /// The dataset that they are computed from.
    pub dataset: Dataset,
    /// The model that is trained on them.
    pub model: Model,
}

/// The stage.
#[derive(Debug)]
pub struct Featurize;

impl Stage for Featurize {
    const NAME: &'static str = "featurize";
    type Config = Config;

    /// Computes the features for a training request. The outcome's result is a [`FeatureSet`](tidemill_core::record::FeatureSet).
    fn run(trigger: &Trigger, config: Config, host: &dyn Host) -> Result<Outcome> {
        let request: TrainingRequest = host.objects().get_json(&trigger.key)?;
        let reject = |findings: Vec<Finding>| {
            let reason = format!("there is not enough to train `{}` on", config.model.name);
            Ok(Outcome::rejected(reason, findings).with_as_of(request.as_of))
        };
        let files = request.data_files.read(host.objects())?;
        if files.is_empty() {
            return reject(vec![error_finding("rows", "the request names no data file".into(), 0)]);
        }
        let source = source::build_source(&files, request.as_of, &config)?;
        host.report_progress(0.05, "reading the data files");
        let Some(rows) = rows::read_rows(&source, &config, host)? else {
            let message = format!("no row has the label `{}`", config.features.label);
            return reject(vec![error_finding("rows", message, 0)]);
        };
        let table = slice_rows(rows, &config)?;
        let findings = check_rows(&table, &config)?;
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return reject(findings);
        }
        let set = FeatureWriter { config: &config, host }.write(trigger, &source, table)?;
        let (train, validation, holdout) = (set.train_rows, set.validation_rows, set.holdout_rows);
        let features = set.signature.inputs.len();
        let reason = format!("{train} rows to train on, {validation} to validate on, {holdout} held out, {features} features");
        Ok(Outcome::done(reason, &set).with_findings(findings).with_as_of(request.as_of))
    }
}

fn slice_rows(rows: FeatureRows, config: &Config) -> Result<SlicedRows> {
    let spans = assign_slices(&rows.times, &config.features);
    Ok(SlicedRows {
        slices: rows.times.iter().map(|time| slice_at(&spans, *time)).collect(),
        classes: class_names(rows.columns.require(&config.features.label)?, config.model.task),
        spans,
        rows,
    })
}

tidemill_sdk::export!(Featurize);
