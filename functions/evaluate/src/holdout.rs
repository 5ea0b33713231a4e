//! The holdout's rows, raw, and what a model answers for them. A champion goes through its own transform, which may take other
//! columns than the candidate's: one that the holdout lacks makes the champion incomparable, and is said.

use tidemill_core::{
    ColumnValues, Digest, Error, Host, Result, Table,
    gate::Metrics,
    record::{FeatureSet, ModelVersion},
    spec::Task,
};
use tidemill_ml::{Columns, Scorer, Transform, model::encode_labels};

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

    /// The scores of a model, row-major, in this holdout's order of classes.
    pub(crate) fn scores(&self, model: &ScoredModel, host: &dyn Host) -> Result<Vec<f64>> {
        let transform = Transform::from_json(&checked(&model.transform, &model.transform_digest, host)?)?;
        let scorer = Scorer::new(&checked(&model.onnx, &model.onnx_digest, host)?)?;
        let scores = scorer.scores(&transform.apply(&self.columns)?, self.label.len())?;
        check_width(&model.onnx, self.task, &model.classes, self.label.len(), scores.len())?;
        if self.task == Task::Regression || model.classes == self.classes {
            return Ok(scores.into_iter().map(f64::from).collect());
        }
        // A class that the model does not know gets no probability.
        let places: Vec<Option<usize>> = self
            .classes
            .iter()
            .map(|class| model.classes.iter().position(|c| c == class))
            .collect();
        let rows = scores.chunks_exact(model.classes.len().max(1));
        Ok(rows
            .flat_map(|row| places.iter().map(|place| place.map_or(0.0, |place| f64::from(row[place]))))
            .collect())
    }

    /// Metrics over the rows that `kept` names.
    pub(crate) fn metrics(&self, scores: &[f64], kept: &[usize]) -> Metrics {
        let count = scores.len() / self.label.len();
        let label: Vec<f64> = kept.iter().map(|row| self.label[*row]).collect();
        match self.task {
            Task::Regression => tidemill_stats::regression_metrics(&kept.iter().map(|row| scores[*row]).collect::<Vec<_>>(), &label),
            Task::Binary => {
                let positive: Vec<f64> = kept.iter().map(|row| scores[row * count + count - 1]).collect();
                tidemill_stats::binary_metrics(&positive, &label.iter().map(|l| *l > 0.5).collect::<Vec<_>>())
            }
            Task::Multiclass => {
                let picked: Vec<f64> = kept.iter().flat_map(|row| &scores[row * count..][..count]).copied().collect();
                tidemill_stats::multiclass_metrics(&picked, count, &label.iter().map(|l| *l as usize).collect::<Vec<_>>())
            }
        }
    }

    /// The rows by the text of a column's value; missing ones under the empty text.
    pub(crate) fn rows_by_value(&self, values: &ColumnValues) -> std::collections::BTreeMap<String, Vec<usize>> {
        let mut rows = std::collections::BTreeMap::<String, Vec<usize>>::new();
        for row in 0..values.len() {
            rows.entry(values.category(row).unwrap_or_default().into_owned())
                .or_default()
                .push(row);
        }
        rows
    }
}

/// What is needed of a model to judge it.
pub(crate) struct ScoredModel {
    pub(crate) onnx: String,
    pub(crate) onnx_digest: Digest,
    pub(crate) transform: String,
    pub(crate) transform_digest: Digest,
    pub(crate) classes: Vec<String>,
}

impl From<ModelVersion> for ScoredModel {
    fn from(version: ModelVersion) -> Self {
        let ModelVersion {
            onnx,
            onnx_digest,
            transform,
            transform_digest,
            classes,
            ..
        } = version;
        Self {
            onnx,
            onnx_digest,
            transform,
            transform_digest,
            classes,
        }
    }
}

/// Serving demands as many of every answer: a model that gives others must not come through a gate.
fn check_width(onnx: &str, task: Task, classes: &[String], rows: usize, numbers: usize) -> Result<()> {
    let due = if task == Task::Regression { 1 } else { classes.len() };
    if due > 0 && numbers == rows * due {
        return Ok(());
    }
    let gives = match numbers.checked_div(rows) {
        Some(each) if each * rows == numbers => format!("{each} numbers a row"),
        _ => format!("{numbers} numbers for {rows} rows"),
    };
    let needs = match task {
        Task::Regression => "the task `regression` needs 1 a row".to_owned(),
        Task::Binary => format!("the task `binary` with {} needs {due} a row", listed(classes)),
        Task::Multiclass => format!("the task `multiclass` with {} needs {due} a row", listed(classes)),
    };
    Err(Error::input(format!(
        "`{onnx}` gives {gives}, and {needs}: export the probabilities of all classes in this order (for regression the one number), or \
         correct `task` in `tidemill.toml`"
    )))
}

/// A few of the classes: there may be a thousand.
fn listed(classes: &[String]) -> String {
    let some: Vec<&str> = classes.iter().take(5).map(String::as_str).collect();
    match classes.len() {
        0 => "no classes".to_owned(),
        count if count > some.len() => format!("{count} classes (`{}`, …)", some.join("`, `")),
        _ => format!("the classes `{}`", some.join("`, `")),
    }
}

fn checked(key: &str, digest: &Digest, host: &dyn Host) -> Result<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;

    #[test]
    fn only_scores_that_can_be_served_are_judged() {
        let classes = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let two = classes(&["no", "yes"]);
        assert!(check_width("m", Task::Binary, &two, 10, 20).is_ok());
        assert!(check_width("m", Task::Multiclass, &classes(&["a", "b", "c"]), 10, 30).is_ok());
        assert!(check_width("m", Task::Regression, &[], 10, 10).is_ok());
        let cases: [(Task, &[String], usize, [&str; 2]); 5] = [
            (Task::Binary, &two[..], 10, ["gives 1 numbers a row", "`no`, `yes` needs 2"]),
            (Task::Binary, &two, 30, ["gives 3 numbers a row", "`task`"]),
            (Task::Binary, &two, 2, ["gives 2 numbers for 10 rows", "`binary`"]),
            (Task::Binary, &[], 10, ["with no classes", "needs 0"]),
            (Task::Regression, &[], 20, ["gives 2 numbers a row", "`regression` needs 1"]),
        ];
        for (task, classes, numbers, parts) in cases {
            let error = check_width("candidates/m/1/model.onnx", task, classes, 10, numbers).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Input);
            assert!(error.message.contains("`candidates/m/1/model.onnx`"), "{error}");
            for part in parts {
                assert!(error.message.contains(part), "`{part}` is not in: {error}");
            }
        }
    }
}
