//! What a model answered for each row. One number is *the* score: of a regression the number, else the last class's probability.

use tidemill_core::spec::Task;

/// The scores of all rows, row by row, and what they mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions<'a> {
    task: Task,
    classes: &'a [String],
    width: usize,
    scores: Vec<f64>,
}

impl<'a> Predictions<'a> {
    /// `scores` are rows × classes, or rows × 1 for regression.
    pub(crate) fn new(task: Task, classes: &'a [String], scores: Vec<f64>) -> Self {
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

    /// All scores, row by row.
    pub fn into_scores(self) -> Vec<f64> {
        self.scores
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
}
