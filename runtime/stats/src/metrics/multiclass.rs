//! Metrics of several classes: `scores` is row-major `[rows, classes]`, and `truth` holds the index of each row's class. An index outside
//! the classes (a class that the model does not know) counts as wrong, and leaves log-loss and AUC undefined.

use super::{Metrics, clipped_ln, defined_metrics, mean};

/// The class with the greatest score; ties go to the first. NaN never wins.
fn argmax(scores: &[f64]) -> usize {
    let mut best = 0;
    for (class, score) in scores.iter().enumerate() {
        if *score > scores[best] || (scores[best].is_nan() && !score.is_nan()) {
            best = class;
        }
    }
    best
}

fn count_rows(scores: &[f64], classes: usize, truth: &[usize]) -> usize {
    scores.len().checked_div(classes).unwrap_or(0).min(truth.len())
}

/// The share of rows whose greatest score is that of the true class.
///
/// ```
/// let scores = [0.7, 0.2, 0.1, 0.1, 0.3, 0.6];
/// assert_eq!(tidemill_stats::multiclass_accuracy(&scores, 3, &[0, 1]), Some(0.5));
/// ```
pub fn multiclass_accuracy(scores: &[f64], classes: usize, truth: &[usize]) -> Option<f64> {
    mean(count_rows(scores, classes, truth), |row| {
        let scores = &scores[row * classes..][..classes];
        f64::from(u8::from(argmax(scores) == truth[row] && !scores[argmax(scores)].is_nan()))
    })
}

/// The mean of −ln(probability of the true class).
///
/// ```
/// let loss = tidemill_stats::multiclass_log_loss(&[0.5, 0.25, 0.25], 3, &[0]).unwrap();
/// assert!((loss - std::f64::consts::LN_2).abs() < 1e-15);
/// ```
pub fn multiclass_log_loss(scores: &[f64], classes: usize, truth: &[usize]) -> Option<f64> {
    mean(count_rows(scores, classes, truth), |row| match truth[row] < classes {
        true => -clipped_ln(scores[row * classes + truth[row]]),
        false => f64::NAN,
    })
}

/// The mean over the classes of each class's AUC against the rest. `None` when a class has no row or all of them.
///
/// ```
/// let scores = [0.8, 0.2, 0.3, 0.7];
/// assert_eq!(tidemill_stats::multiclass_auc(&scores, 2, &[0, 1]), Some(1.0));
/// assert_eq!(tidemill_stats::multiclass_auc(&scores, 2, &[0, 0]), None);
/// ```
pub fn multiclass_auc(scores: &[f64], classes: usize, truth: &[usize]) -> Option<f64> {
    let rows = count_rows(scores, classes, truth);
    if truth[..rows].iter().any(|class| *class >= classes) {
        return None;
    }
    let of_class = |class: usize| {
        let column: Vec<f64> = (0..rows).map(|row| scores[row * classes + class]).collect();
        let positive: Vec<bool> = truth[..rows].iter().map(|t| *t == class).collect();
        super::auc(&column, &positive)
    };
    let areas: Option<Vec<f64>> = (0..classes).map(of_class).collect();
    areas.and_then(|areas| mean(areas.len(), |class| areas[class]))
}

/// The mean F1 over the classes that occur (as label or as prediction): `macro` in other tools.
///
/// ```
/// let scores = [0.7, 0.3, 0.6, 0.4];
/// // Class 0: 2·1 / (2 + 1); class 1 was never predicted: 0.
/// assert_eq!(tidemill_stats::multiclass_f1(&scores, 2, &[0, 1]), Some((2.0 / 3.0) / 2.0));
/// ```
pub fn multiclass_f1(scores: &[f64], classes: usize, truth: &[usize]) -> Option<f64> {
    let rows = count_rows(scores, classes, truth);
    let mut hits = vec![0u64; classes];
    let mut seen = vec![0u64; classes];
    for row in 0..rows {
        let guess = argmax(&scores[row * classes..][..classes]);
        seen[guess] += 1;
        if let Some(count) = seen.get_mut(truth[row]) {
            *count += 1;
        }
        if guess == truth[row] {
            hits[guess] += 1;
        }
    }
    let scores: Vec<f64> = (0..classes)
        .filter(|class| seen[*class] > 0)
        .map(|class| 2.0 * hits[class] as f64 / seen[class] as f64)
        .collect();
    mean(scores.len(), |class| scores[class])
}

/// All multi-class metrics by name: `auc`, `log-loss`, `accuracy`, `f1`, `rows`.
///
/// ```
/// let metrics = tidemill_stats::multiclass_metrics(&[0.8, 0.2, 0.3, 0.7], 2, &[0, 1]);
/// assert_eq!((metrics["accuracy"], metrics["rows"]), (1.0, 2.0));
/// ```
pub fn multiclass_metrics(scores: &[f64], classes: usize, truth: &[usize]) -> Metrics {
    let valid = !scores.iter().any(|s| s.is_nan());
    defined_metrics(
        count_rows(scores, classes, truth),
        &[
            ("auc", multiclass_auc(scores, classes, truth)),
            ("log-loss", multiclass_log_loss(scores, classes, truth)),
            ("accuracy", multiclass_accuracy(scores, classes, truth).filter(|_| valid)),
            ("f1", multiclass_f1(scores, classes, truth).filter(|_| valid)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_classes() {
        let scores = [0.7, 0.2, 0.1, 0.1, 0.8, 0.1, 0.3, 0.4, 0.3];
        let metrics = multiclass_metrics(&scores, 3, &[0, 1, 2]);
        assert_eq!(metrics["accuracy"], 2.0 / 3.0);
        // F1 by class: 1, 2/3 (one hit, one false alarm), 0.
        assert!((metrics["f1"] - 5.0 / 9.0).abs() < 1e-15);
        assert_eq!(metrics["auc"], 1.0);
    }

    #[test]
    fn an_unknown_class_is_wrong_and_nothing_panics() {
        let metrics = multiclass_metrics(&[0.7, 0.3, 0.4, 0.6], 2, &[0, 9]);
        assert_eq!(metrics["accuracy"], 0.5);
        assert!(!metrics.contains_key("log-loss") && !metrics.contains_key("auc"));
        assert_eq!(multiclass_metrics(&[], 0, &[]), Metrics::from([("rows".into(), 0.0)]));
    }
}
