//! Accuracy of predictions against the labels. A metric that the rows do not define (only one class, no rows, a NaN score) is `None` and is
//! left out of the maps; it is never a made-up 0 or 0.5.

mod binary;
mod multiclass;
mod regression;

use std::collections::BTreeMap;

pub use binary::{Confusion, accuracy, auc, binary_metrics, brier, confusion, f1, log_loss, precision, recall};
pub use multiclass::{multiclass_accuracy, multiclass_auc, multiclass_f1, multiclass_log_loss, multiclass_metrics};
pub use regression::{mae, r2, regression_metrics, rmse};

/// Metrics by name, as in records.
pub type Metrics = BTreeMap<String, f64>;

/// The defined metrics, and `rows`.
fn defined_metrics(rows: usize, metrics: &[(&str, Option<f64>)]) -> Metrics {
    let defined = metrics.iter().filter_map(|(name, value)| value.map(|v| ((*name).to_owned(), v)));
    std::iter::once(("rows".to_owned(), rows as f64)).chain(defined).collect()
}

/// The logarithm of a probability, which is kept away from 0 and 1 by the machine epsilon (as in scikit-learn).
fn clipped_ln(probability: f64) -> f64 {
    libm::log(probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON))
}

/// The mean of `value` over the rows; `None` without rows or if the mean is not finite.
fn mean(rows: usize, value: impl Fn(usize) -> f64) -> Option<f64> {
    let sum: f64 = (0..rows).map(value).sum();
    let mean = sum / rows as f64;
    (rows > 0 && mean.is_finite()).then_some(mean)
}
