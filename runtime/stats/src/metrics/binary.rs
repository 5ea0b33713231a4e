//! Metrics of two classes. A row counts as predicted positive when its score is at least 0.5; only `auc` needs no threshold and takes any
//! score.

use super::{Metrics, clipped_ln, defined_metrics, mean};

/// Number of rows by prediction (at 0.5) and label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Predicted positive, and positive.
    pub true_positive: u64,
    /// Predicted positive, but negative.
    pub false_positive: u64,
    /// Predicted negative, and negative.
    pub true_negative: u64,
    /// Predicted negative, but positive.
    pub false_negative: u64,
}

/// Counts the four kinds of rows; the longer of `scores` and `positive` is truncated.
///
/// ```
/// let counts = tidemill_stats::confusion(&[0.9, 0.8, 0.1], &[true, false, true]);
/// assert_eq!((counts.true_positive, counts.false_positive, counts.false_negative), (1, 1, 1));
/// ```
pub fn confusion(scores: &[f64], positive: &[bool]) -> Confusion {
    let mut counts = Confusion::default();
    for (score, truth) in scores.iter().zip(positive) {
        let cell = match (*score >= 0.5, *truth) {
            (true, true) => &mut counts.true_positive,
            (true, false) => &mut counts.false_positive,
            (false, false) => &mut counts.true_negative,
            (false, true) => &mut counts.false_negative,
        };
        *cell += 1;
    }
    counts
}

/// The area under the ROC curve: the probability that a positive row scores above a negative one, ties counting half
/// (Mann-Whitney by mid-ranks). `None` when a class is missing or a score is NaN.
///
/// ```
/// // scikit-learn: roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
/// let area = tidemill_stats::auc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]);
/// assert_eq!(area, Some(0.75));
/// assert_eq!(tidemill_stats::auc(&[0.1, 0.4], &[true, true]), None);
/// ```
pub fn auc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let rows = scores.len().min(positive.len());
    if scores[..rows].iter().any(|s| s.is_nan()) {
        return None;
    }
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_unstable_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    // In halves, so that the sum is exact: a group at ranks i+1 ..= j has the mid-rank (i + 1 + j) / 2.
    let mut positives: u128 = 0;
    let mut twice_ranks: u128 = 0;
    let mut start = 0;
    while start < rows {
        let mut end = start + 1;
        // `==`, not the order of `total_cmp`: 0 and -0 are a tie.
        while end < rows && scores[order[end]] == scores[order[start]] {
            end += 1;
        }
        let here = order[start..end].iter().filter(|row| positive[**row]).count() as u128;
        positives += here;
        twice_ranks += here * (start + 1 + end) as u128;
        start = end;
    }
    let negatives = rows as u128 - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let twice_pairs_won = twice_ranks - positives * (positives + 1);
    Some(twice_pairs_won as f64 / (2.0 * positives as f64 * negatives as f64))
}

/// The mean of −ln(probability of the true class). `None` without rows or with a NaN score.
///
/// ```
/// let loss = tidemill_stats::log_loss(&[0.5, 0.5], &[true, false]).unwrap();
/// assert!((loss - std::f64::consts::LN_2).abs() < 1e-15);
/// ```
pub fn log_loss(scores: &[f64], positive: &[bool]) -> Option<f64> {
    mean(scores.len().min(positive.len()), |row| {
        -clipped_ln(if positive[row] { scores[row] } else { 1.0 - scores[row] })
    })
}

/// The mean squared distance of the score from 0 or 1. `None` without rows or with a NaN score.
///
/// ```
/// assert_eq!(tidemill_stats::brier(&[0.5, 1.0], &[true, true]), Some(0.125));
/// ```
pub fn brier(scores: &[f64], positive: &[bool]) -> Option<f64> {
    mean(scores.len().min(positive.len()), |row| {
        let distance = scores[row] - f64::from(u8::from(positive[row]));
        distance * distance
    })
}

/// The share of rows on the right side of 0.5. `None` without rows or with a NaN score.
///
/// ```
/// assert_eq!(tidemill_stats::accuracy(&[0.9, 0.2, 0.7, 0.6], &[true, false, true, false]), Some(0.75));
/// ```
pub fn accuracy(scores: &[f64], positive: &[bool]) -> Option<f64> {
    mean(scores.len().min(positive.len()), |row| match scores[row].is_nan() {
        true => f64::NAN,
        false => f64::from(u8::from((scores[row] >= 0.5) == positive[row])),
    })
}

/// The share of predicted positives that are positive. `None` when nothing was predicted positive.
///
/// ```
/// assert_eq!(tidemill_stats::precision(&[0.9, 0.8, 0.1], &[true, false, true]), Some(0.5));
/// assert_eq!(tidemill_stats::precision(&[0.1], &[true]), None);
/// ```
pub fn precision(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let counts = confusion(scores, positive);
    share(counts.true_positive, counts.true_positive + counts.false_positive)
}

/// The share of positives that were predicted positive. `None` when no row is positive.
///
/// ```
/// assert_eq!(tidemill_stats::recall(&[0.9, 0.8, 0.1], &[true, false, true]), Some(0.5));
/// ```
pub fn recall(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let counts = confusion(scores, positive);
    share(counts.true_positive, counts.true_positive + counts.false_negative)
}

/// 2·TP / (2·TP + FP + FN), the harmonic mean of precision and recall. `None` when no row is positive or predicted positive.
///
/// ```
/// assert_eq!(tidemill_stats::f1(&[0.9, 0.8, 0.1], &[true, false, true]), Some(0.5));
/// ```
pub fn f1(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let counts = confusion(scores, positive);
    let hits = 2 * counts.true_positive;
    share(hits, hits + counts.false_positive + counts.false_negative)
}

/// All binary metrics by name: `auc`, `log-loss`, `brier`, `accuracy`, `precision`, `recall`, `f1`, `rows`.
///
/// ```
/// let metrics = tidemill_stats::binary_metrics(&[0.9, 0.2], &[true, false]);
/// assert_eq!((metrics["auc"], metrics["rows"]), (1.0, 2.0));
/// // Only one class: no AUC, but an accuracy.
/// let metrics = tidemill_stats::binary_metrics(&[0.9], &[true]);
/// assert!(!metrics.contains_key("auc") && metrics["accuracy"] == 1.0);
/// ```
pub fn binary_metrics(scores: &[f64], positive: &[bool]) -> Metrics {
    let valid = !scores.iter().any(|s| s.is_nan());
    let at_threshold = |metric: fn(&[f64], &[bool]) -> Option<f64>| metric(scores, positive).filter(|_| valid);
    defined_metrics(
        scores.len().min(positive.len()),
        &[
            ("auc", auc(scores, positive)),
            ("log-loss", log_loss(scores, positive)),
            ("brier", brier(scores, positive)),
            ("accuracy", accuracy(scores, positive)),
            ("precision", at_threshold(precision)),
            ("recall", at_threshold(recall)),
            ("f1", at_threshold(f1)),
        ],
    )
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_half() {
        // scikit-learn: roc_auc_score([0,0,1,1], [.1,.4,.35,.8]) = 0.75
        assert_eq!(auc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]), Some(0.75));
        assert_eq!(auc(&[0.5; 4], &[false, true, false, true]), Some(0.5));
        assert_eq!(auc(&[0.0, -0.0], &[false, true]), Some(0.5));
        assert_eq!(auc(&[f64::NEG_INFINITY, f64::INFINITY], &[false, true]), Some(1.0));
    }

    #[test]
    fn what_is_not_defined_is_left_out() {
        assert_eq!(binary_metrics(&[], &[]), Metrics::from([("rows".into(), 0.0)]));
        assert_eq!(
            binary_metrics(&[0.2, f64::NAN], &[true, false]),
            Metrics::from([("rows".into(), 2.0)])
        );
        let one_class = binary_metrics(&[0.9, 0.8], &[true, true]);
        assert!(!one_class.contains_key("auc"), "{one_class:?}");
        assert_eq!(one_class["recall"], 1.0);
        assert!(!binary_metrics(&[0.1], &[false]).contains_key("f1"));
    }

    #[test]
    fn known_numbers() {
        let (scores, truth) = ([0.9, 0.6, 0.4, 0.2], [true, false, true, false]);
        let metrics = binary_metrics(&scores, &truth);
        // −(ln .9 + ln .4 + ln .4 + ln .8) / 4
        assert!((metrics["log-loss"] - 0.540_271_383).abs() < 1e-8, "{metrics:?}");
        assert!((metrics["brier"] - (0.01 + 0.36 + 0.36 + 0.04) / 4.0).abs() < 1e-15);
        assert_eq!((metrics["precision"], metrics["recall"], metrics["f1"]), (0.5, 0.5, 0.5));
        assert!(log_loss(&[0.0], &[true]).unwrap() < 40.0, "a sure and wrong score must stay finite");
    }
}
