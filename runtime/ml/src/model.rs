//! Training and scoring for every kind of trainer. Labels are always numbers: 0 and 1, the class's index, or the number itself.

use std::collections::BTreeMap;

use tidemill_core::{
    ColumnValues, Error, Result,
    spec::{Task, Trainer, TrainerKind},
};

use crate::{
    Matrix, Rows,
    linear::{self, Linear},
    loss::Loss,
    trees::{self, Trees},
};

/// A trained model.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainedModel {
    /// Boosted trees.
    Trees(Trees),
    /// A linear model.
    Linear(Linear),
}

impl TrainedModel {
    /// The loss, which turns margins into scores.
    pub fn loss(&self) -> Loss {
        match self {
            Self::Trees(model) => model.loss,
            Self::Linear(model) => model.loss,
        }
    }
    /// Number of rounds in the model, or of iterations.
    pub fn rounds(&self) -> u32 {
        match self {
            Self::Trees(model) => (model.trees.len() / model.loss.margins()) as u32,
            Self::Linear(model) => model.iterations,
        }
    }
    /// Scores of all rows (rows × scores), equal to the output of the ONNX file to about 1e-6: probabilities of all classes, or the number.
    pub fn scores(&self, matrix: &Matrix) -> Vec<f32> {
        let loss = self.loss();
        let mut margins = vec![0.0; loss.margins()];
        let mut scores = Vec::with_capacity(matrix.rows() * loss.scores());
        for row in 0..matrix.rows() {
            self.margins(matrix.row(row), &mut margins);
            loss.score(&margins, &mut scores);
        }
        scores
    }
    /// Weighted mean loss of the rows: log loss, or half the squared error. NaN if there are no rows.
    pub fn mean_loss(&self, rows: &Rows<'_>) -> f64 {
        let loss = self.loss();
        let mut margins = vec![0.0; loss.margins()];
        let (mut gradients, mut hessians) = (vec![0.0; margins.len()], vec![0.0; margins.len()]);
        let mut total = 0.0;
        for (row, label) in rows.label.iter().enumerate() {
            self.margins(rows.matrix.row(row), &mut margins);
            let wide: Vec<f64> = margins.iter().map(|m| f64::from(*m)).collect();
            total += rows.weight[row] * loss.derive(&wide, *label, &mut gradients, &mut hessians);
        }
        total / rows.weight.iter().sum::<f64>()
    }
    fn margins(&self, row: &[f32], margins: &mut [f32]) {
        match self {
            Self::Trees(model) => model.margins(row, margins),
            Self::Linear(model) => model.margins(row, margins),
        }
    }
    /// Importance by column: its share of the gain (trees) or of the absolute weights (linear).
    pub fn importances(&self, names: &[String]) -> BTreeMap<String, f64> {
        let shares = match self {
            Self::Trees(model) => model.importances(names.len()),
            Self::Linear(model) => model.importances(),
        };
        names.iter().cloned().zip(shares).collect()
    }
}

/// A trained model and its validation loss.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingOutput {
    /// The model.
    pub model: TrainedModel,
    /// Mean loss on the validation rows, by the model that had not seen them; NaN if there are none.
    pub validation_loss: f64,
}

/// Trains on `train`, and stops by the loss on `stop`; then trains again on both, for the same number of rounds.
///
/// A linear model has no number of rounds to find: after the loss on `stop` is measured, it is fitted on both together. `classes` are the
/// labels as text, in the order of their indexes.
pub fn train(
    trainer: &Trainer,
    task: Task,
    classes: &[String],
    train: (&Matrix, &[f64]),
    stop: (&Matrix, &[f64]),
    progress: &dyn Fn(f64),
) -> Result<TrainingOutput> {
    check_training_data(trainer, classes, train.0, train.1)?;
    let loss = Loss::for_task(task, classes.len());
    let weights: Vec<f64> = classes
        .iter()
        .map(|class| trainer.class_weights.get(class).copied().unwrap_or(1.0))
        .collect();
    let (fit_rows, stop_rows) = (Rows::new(train.0, train.1, &weights), Rows::new(stop.0, stop.1, &weights));
    let first = fit(trainer, loss, &fit_rows, &stop_rows, &|share| progress(share / 2.0))?;
    if stop.1.is_empty() {
        return Ok(TrainingOutput {
            model: first,
            validation_loss: f64::NAN,
        });
    }
    let stop_loss = first.mean_loss(&stop_rows);
    // The rows that stopped the first model are trained on too: the last days are often the most similar to the next one.
    let (matrix, label) = concat_rows(train, stop);
    let rest = Matrix {
        width: matrix.width,
        ..Matrix::default()
    };
    let again = Trainer {
        rounds: if trainer.kind == TrainerKind::Trees {
            first.rounds()
        } else {
            trainer.rounds
        },
        early_stopping: 0,
        ..trainer.clone()
    };
    let (both, none) = (Rows::new(&matrix, &label, &weights), Rows::new(&rest, &[], &weights));
    let model = fit(&again, loss, &both, &none, &|share| progress(0.5 + share / 2.0))?;
    Ok(TrainingOutput {
        model,
        validation_loss: stop_loss,
    })
}

fn fit(trainer: &Trainer, loss: Loss, train: &Rows<'_>, stop: &Rows<'_>, progress: &dyn Fn(f64)) -> Result<TrainedModel> {
    match trainer.kind {
        TrainerKind::Trees => Ok(TrainedModel::Trees(trees::fit(trainer, loss, train, stop, progress))),
        TrainerKind::Linear => Ok(TrainedModel::Linear(linear::fit(trainer, loss, train, progress))),
        TrainerKind::Onnx => Err(Error::config(
            "a trainer of kind `onnx` trains nothing: its model comes from elsewhere",
        )),
    }
}

fn concat_rows(train: (&Matrix, &[f64]), stop: (&Matrix, &[f64])) -> (Matrix, Vec<f64>) {
    let matrix = Matrix {
        values: [train.0.values.as_slice(), &stop.0.values].concat(),
        width: train.0.width,
    };
    (matrix, [train.1, stop.1].concat())
}

fn check_training_data(trainer: &Trainer, classes: &[String], matrix: &Matrix, label: &[f64]) -> Result<()> {
    if matrix.rows() == 0 || matrix.rows() != label.len() {
        return Err(Error::input(format!(
            "there are {} rows and {} labels to train on; both must be there for each row",
            matrix.rows(),
            label.len()
        )));
    }
    if let Some(class) = trainer.class_weights.keys().find(|class| !classes.contains(class)) {
        return Err(Error::config(format!(
            "class-weights names `{class}`, which no label is; the labels are `{}`",
            classes.join("`, `")
        )));
    }
    if let Some((class, weight)) = trainer.class_weights.iter().find(|(_, w)| !(w.is_finite() && **w > 0.0)) {
        return Err(Error::config(format!(
            "class-weights gives `{class}` the weight `{weight}`; it must be greater than 0"
        )));
    }
    if !(trainer.learning_rate > 0.0 && trainer.learning_rate <= 1.0) {
        return Err(Error::config(format!(
            "learning-rate is `{}`; it must be above 0 and at most 1",
            trainer.learning_rate
        )));
    }
    if !(trainer.l2 >= 0.0 && trainer.l2.is_finite()) {
        return Err(Error::config(format!("l2 is `{}`; it must be 0 or greater", trainer.l2)));
    }
    if label.iter().any(|l| !l.is_finite()) {
        return Err(Error::input(
            "a label to train on is missing or not finite; leave such rows out of the features",
        ));
    }
    Ok(())
}

/// Converts labels to numbers: the index in `classes` or, without classes, the number. The error shows the value that is not a class.
pub fn encode_labels(values: &ColumnValues, classes: &[String]) -> Result<Vec<f64>> {
    let of = |row: usize| {
        if classes.is_empty() {
            return Ok(values.number(row));
        }
        let class = values.category(row).unwrap_or_default();
        match classes.iter().position(|c| *c == class) {
            Some(index) => Ok(index as f64),
            None => Err(Error::input(format!(
                "the label `{class}` is none of the classes `{}`",
                classes.join("`, `")
            ))),
        }
    };
    (0..values.len()).map(of).collect()
}
