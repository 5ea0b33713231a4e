//! The holdout's raw rows, and a model's scores for them. A champion has its own transform, which may take other columns than the
//! candidate's: a champion that needs a column that the holdout lacks cannot be compared.

use std::{collections::BTreeMap, sync::Arc};

use tidemill_core::{
    ColumnValues, Digest, Error, Host, Result, Table,
    gate::Metrics,
    record::{FeatureSet, ModelVersion},
    spec::Task,
};
use tidemill_ml::{Columns, Transform, model::encode_labels};
use tidemill_nn::{Backend as _, NativeFirst};
use tidemill_scoring::Scorer;

/// The engine for models from elsewhere: the host's or, in a native build, tract.
#[cfg(target_family = "wasm")]
const ENGINE: tidemill_nn::WasiNn = tidemill_nn::WasiNn;
#[cfg(not(target_family = "wasm"))]
const ENGINE: tidemill_nn::Tract = tidemill_nn::Tract;

pub(crate) struct Holdout {
    pub(crate) columns: Columns,
    pub(crate) label: Vec<f64>,
    pub(crate) task: Task,
    pub(crate) classes: Vec<String>,
}

impl Holdout {
    pub(crate) fn read(set: &FeatureSet, task: Task, host: &dyn Host) -> Result<Self> {
        let tables = [Table::parquet("holdout", [set.holdout.as_str()])];
        let columns = Columns::from_batches(&tidemill_sdk::query_batches(host.sql(), "SELECT * FROM holdout", &tables)?)?;
        if columns.rows() == 0 {
            return Err(Error::input(format!(
                "`{}` has no rows to judge with; make the features again",
                set.holdout
            )));
        }
        let label = encode_labels(columns.require(&set.label)?, &set.classes)?;
        Ok(Self {
            columns,
            label,
            task,
            classes: set.classes.clone(),
        })
    }

    /// Returns the scores of a model, row by row, in this holdout's order of classes.
    pub(crate) fn scores(&self, model: &ScoredModel, host: &dyn Host) -> Result<Vec<f64>> {
        let transform = Transform::from_json(&read_checked(&model.transform, &model.transform_digest, host)?)?;
        let onnx = read_checked(&model.onnx, &model.onnx_digest, host)?;
        let graph = NativeFirst::new(Arc::new(ENGINE)).load(&model.onnx, &onnx)?;
        let scorer = Scorer::new(&model.onnx, transform, graph, self.task, model.classes.clone());
        Ok(scorer.score(&self.columns)?.into_scores_of(&self.classes))
    }

    /// Computes metrics over these rows.
    pub(crate) fn metrics(&self, scores: &[f64], rows: &[usize]) -> Metrics {
        let count = scores.len() / self.label.len();
        let label: Vec<f64> = rows.iter().map(|row| self.label[*row]).collect();
        match self.task {
            Task::Regression => tidemill_stats::regression_metrics(&rows.iter().map(|row| scores[*row]).collect::<Vec<_>>(), &label),
            Task::Binary => {
                let positive: Vec<f64> = rows.iter().map(|row| scores[row * count + count - 1]).collect();
                tidemill_stats::binary_metrics(&positive, &label.iter().map(|l| *l > 0.5).collect::<Vec<_>>())
            }
            Task::Multiclass => {
                let picked: Vec<f64> = rows.iter().flat_map(|row| &scores[row * count..][..count]).copied().collect();
                tidemill_stats::multiclass_metrics(&picked, count, &label.iter().map(|l| *l as usize).collect::<Vec<_>>())
            }
        }
    }

    /// Rows by the text of their value; rows without a value are under the empty text.
    pub(crate) fn rows_by_value(&self, values: &ColumnValues) -> BTreeMap<String, Vec<usize>> {
        let mut rows = BTreeMap::<String, Vec<usize>>::new();
        for row in 0..values.len() {
            rows.entry(values.category(row).unwrap_or_default().into_owned())
                .or_default()
                .push(row);
        }
        rows
    }
}

/// The files of a model to score.
pub(crate) struct ScoredModel {
    pub(crate) onnx: String,
    pub(crate) onnx_digest: Digest,
    pub(crate) transform: String,
    pub(crate) transform_digest: Digest,
    pub(crate) classes: Vec<String>,
}

impl From<ModelVersion> for ScoredModel {
    fn from(version: ModelVersion) -> Self {
        Self {
            onnx: version.onnx,
            onnx_digest: version.onnx_digest,
            transform: version.transform,
            transform_digest: version.transform_digest,
            classes: version.classes,
        }
    }
}

fn read_checked(key: &str, digest: &Digest, host: &dyn Host) -> Result<Vec<u8>> {
    let bytes = host.objects().get(key)?;
    let found = Digest::sha256(&bytes);
    if found == *digest {
        return Ok(bytes);
    }
    let (found, wanted) = (found.short(), digest.short());
    Err(Error::input(format!(
        "`{key}` has the digest `{found}…`, and its record says `{wanted}…`; it was changed or damaged"
    )))
}
