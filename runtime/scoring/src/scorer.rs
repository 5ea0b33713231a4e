//! A model that is ready to score, and its predictions: what the transform gives goes through the graph, and what comes back is checked
//! against the task.

use std::{fmt, sync::Arc};

use tidemill_core::{Error, Result, spec::Task};
use tidemill_ml::{Columns, Transform};
use tidemill_nn::{ElementType, Graph, Tensor};

/// The input of every model: f32 [rows, columns of the transform].
pub const INPUT: &str = "features";
/// The output of every model: f32 [rows, classes], or [rows, 1] for regression.
pub const OUTPUT: &str = "scores";
/// Rows that go through the graph together: bounds what an engine allocates.
const MAX_CHUNK_ROWS: usize = 4096;

/// Scores raw rows. Cheap to share; see the [crate's example](crate).
pub struct Scorer {
    model: String,
    transform: Transform,
    graph: Arc<dyn Graph>,
    task: Task,
    classes: Vec<String>,
}

impl fmt::Debug for Scorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scorer").field("model", &self.model).finish_non_exhaustive()
    }
}

impl Scorer {
    /// A scorer; `model` names the file in messages, `classes` are in the order of the model's scores (empty for regression).
    pub fn new(model: impl Into<String>, transform: Transform, graph: Arc<dyn Graph>, task: Task, classes: Vec<String>) -> Self {
        Self {
            model: model.into(),
            transform,
            graph,
            task,
            classes,
        }
    }

    /// The classes, in the order of the scores.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Predictions for these rows.
    ///
    /// # Errors
    /// `Input` if a column that the transform needs is missing, or if the model does not answer as its task requires.
    pub fn score(&self, columns: &Columns) -> Result<Predictions<'_>> {
        self.score_features(&self.transform.apply(columns)?, columns.rows())
    }

    /// The fitted transform.
    pub fn transform(&self) -> &Transform {
        &self.transform
    }

    /// Predictions for `rows` rows that the transform was applied to.
    ///
    /// # Errors
    /// `Input` if the model does not answer as its task requires.
    pub fn score_features(&self, features: &[f32], rows: usize) -> Result<Predictions<'_>> {
        let width = self.transform.width();
        let mut scores = Vec::new();
        for chunk in features.chunks(MAX_CHUNK_ROWS * width.max(1)) {
            self.compute(chunk, width, &mut scores)?;
        }
        check_width(&self.model, self.task, &self.classes, rows, scores.len())?;
        Ok(Predictions::new(self.task, &self.classes, scores))
    }

    fn compute(&self, features: &[f32], width: usize, scores: &mut Vec<f64>) -> Result<()> {
        let input = Tensor::from_f32(vec![features.len() / width.max(1), width], features)?;
        let outputs = self.graph.compute(vec![(INPUT.to_owned(), input)])?;
        let output = outputs.into_iter().find(|(name, _)| name == OUTPUT);
        let (_, output) = output.ok_or_else(|| Error::input(format!("`{}` has no output `{OUTPUT}`", self.model)))?;
        if output.kind != ElementType::F32 {
            return Err(Error::input(format!(
                "`{}` gives `{OUTPUT}` as {:?}, which must be F32",
                self.model, output.kind
            )));
        }
        scores.extend(
            output
                .data
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f64::from(f32::from_le_bytes(*bytes))),
        );
        Ok(())
    }
}

/// `Input` unless there are as many numbers as rows and classes.
fn check_width(model: &str, task: Task, classes: &[String], rows: usize, numbers: usize) -> Result<()> {
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
        Task::Binary => format!("the task `binary` with {} needs {due} a row", list_classes(classes)),
        Task::Multiclass => format!("the task `multiclass` with {} needs {due} a row", list_classes(classes)),
    };
    Err(Error::input(format!(
        "`{model}` gives {gives}, and {needs}: export the probabilities of all classes in this order (for regression the one number), or \
         correct `task` in `tidemill.toml`"
    )))
}

/// A few of the classes: there may be a thousand.
fn list_classes(classes: &[String]) -> String {
    let some: Vec<&str> = classes.iter().take(5).map(String::as_str).collect();
    match classes.len() {
        0 => "no classes".to_owned(),
        count if count > some.len() => format!("{count} classes (`{}`, …)", some.join("`, `")),
        _ => format!("the classes `{}`", some.join("`, `")),
    }
}

/// What a model answered for each row: scores, row by row, and what they mean. One number is *the* score: of a regression the number, else
/// the last class's probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions<'a> {
    task: Task,
    classes: &'a [String],
    width: usize,
    scores: Vec<f64>,
}

impl<'a> Predictions<'a> {
    /// `scores` are rows × classes, or rows × 1 for regression.
    fn new(task: Task, classes: &'a [String], scores: Vec<f64>) -> Self {
        let width = if task == Task::Regression { 1 } else { classes.len().max(1) };
        Self {
            task,
            classes,
            width,
            scores,
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.scores.len() / self.width
    }

    /// The number of scores in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All scores of a row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.scores[row * self.width..][..self.width]
    }

    /// The score of a row: the number, or the probability of the last class.
    pub fn score(&self, row: usize) -> f64 {
        self.row(row)[self.width - 1]
    }

    /// The score of each row; see [`score`](Self::score).
    pub fn scores(&self) -> impl Iterator<Item = f64> {
        self.scores.chunks_exact(self.width).map(|row| row[row.len() - 1])
    }

    /// The most probable class of each row, the first of equal ones; of two classes the last wins at exactly one half. Empty for
    /// regression.
    pub fn labels(&self) -> impl Iterator<Item = &'a str> {
        let classes = if self.task == Task::Regression { &[] } else { self.classes };
        let rows = self.scores.chunks_exact(self.width).filter(move |_| !classes.is_empty());
        rows.map(move |row| classes[argmax(row)].as_str())
    }

    /// The probabilities of all classes, row by row; empty for regression.
    pub fn probabilities(&self) -> &[f64] {
        if self.task == Task::Regression { &[] } else { &self.scores }
    }

    /// The scores in the order of other classes, row by row. A class that the model does not know has no probability.
    pub fn into_scores_of(self, classes: &[String]) -> Vec<f64> {
        if self.task == Task::Regression || self.classes == classes {
            return self.scores;
        }
        let places: Vec<Option<usize>> = classes
            .iter()
            .map(|class| self.classes.iter().position(|known| known == class))
            .collect();
        let rows = self.scores.chunks_exact(self.width);
        rows.flat_map(|row| places.iter().map(|place| place.map_or(0.0, |place| row[place])))
            .collect()
    }
}

fn argmax(row: &[f64]) -> usize {
    if let [_, positive] = row {
        return usize::from(*positive >= 0.5);
    }
    (0..row.len()).fold(0, |best, index| if row[index] > row[best] { index } else { best })
}

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;

    fn classes(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn labels_follow_the_greatest_probability() {
        let three = classes(&["a", "b", "c"]);
        let predictions = Predictions::new(Task::Multiclass, &three, vec![0.2, 0.4, 0.4, 0.1, 0.2, 0.7]);
        assert_eq!(predictions.labels().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!((predictions.rows(), predictions.score(1)), (2, 0.7));
        let two = classes(&["no", "yes"]);
        let predictions = Predictions::new(Task::Binary, &two, vec![0.5, 0.5, 0.6, 0.4]);
        assert_eq!(predictions.labels().collect::<Vec<_>>(), ["yes", "no"]);
        let regression = Predictions::new(Task::Regression, &[], vec![3.0, -1.0]);
        assert_eq!(regression.labels().count(), 0);
        assert!(regression.probabilities().is_empty());
        assert_eq!(regression.scores().collect::<Vec<_>>(), [3.0, -1.0]);
    }

    #[test]
    fn scores_move_to_the_order_of_other_classes() {
        let own = classes(&["a", "b"]);
        let predictions = Predictions::new(Task::Multiclass, &own, vec![0.25, 0.75]);
        assert_eq!(predictions.clone().into_scores_of(&own), [0.25, 0.75]);
        assert_eq!(predictions.into_scores_of(&classes(&["b", "new", "a"])), [0.75, 0.0, 0.25]);
    }

    #[test]
    fn only_scores_that_can_be_served_are_accepted() {
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
