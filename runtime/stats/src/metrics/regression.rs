//! Metrics of predicted numbers. `r2` compares with the mean of the same rows, so it is not defined when the truth is constant.

use super::{Metrics, defined_metrics, mean};

/// The square root of the mean squared error. `None` without rows or with a value that is not a number.
///
/// ```
/// assert_eq!(tidemill_stats::rmse(&[1.0, 5.0], &[1.0, 1.0]), Some(8f64.sqrt()));
/// assert_eq!(tidemill_stats::rmse(&[f64::NAN], &[1.0]), None);
/// ```
pub fn rmse(predicted: &[f64], truth: &[f64]) -> Option<f64> {
    mean(predicted.len().min(truth.len()), |row| {
        (predicted[row] - truth[row]) * (predicted[row] - truth[row])
    })
    .map(f64::sqrt)
}

/// The mean absolute error. `None` without rows or with a value that is not a number.
///
/// ```
/// assert_eq!(tidemill_stats::mae(&[1.0, 5.0], &[1.0, 1.0]), Some(2.0));
/// ```
pub fn mae(predicted: &[f64], truth: &[f64]) -> Option<f64> {
    mean(predicted.len().min(truth.len()), |row| (predicted[row] - truth[row]).abs())
}

/// 1 − squared error / squared distance from the mean. `None` also when the truth is constant.
///
/// ```
/// assert_eq!(tidemill_stats::r2(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), Some(1.0));
/// assert_eq!(tidemill_stats::r2(&[1.0, 2.0], &[1.0, 1.0]), None);
/// ```
pub fn r2(predicted: &[f64], truth: &[f64]) -> Option<f64> {
    let rows = predicted.len().min(truth.len());
    let centre = mean(rows, |row| truth[row])?;
    let spread = mean(rows, |row| (truth[row] - centre) * (truth[row] - centre)).filter(|spread| *spread > 0.0)?;
    let error = mean(rows, |row| (predicted[row] - truth[row]) * (predicted[row] - truth[row]))?;
    Some(1.0 - error / spread)
}

/// All regression metrics by name: `rmse`, `mae`, `r2`, `rows`.
///
/// ```
/// let metrics = tidemill_stats::regression_metrics(&[1.0, 5.0], &[1.0, 1.0]);
/// assert_eq!((metrics["mae"], metrics["rows"]), (2.0, 2.0));
/// ```
pub fn regression_metrics(predicted: &[f64], truth: &[f64]) -> Metrics {
    defined_metrics(
        predicted.len().min(truth.len()),
        &[
            ("rmse", rmse(predicted, truth)),
            ("mae", mae(predicted, truth)),
            ("r2", r2(predicted, truth)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers() {
        // scikit-learn's example: r2_score([3, -0.5, 2, 7], [2.5, 0.0, 2, 8]) = 0.948…
        let metrics = regression_metrics(&[2.5, 0.0, 2.0, 8.0], &[3.0, -0.5, 2.0, 7.0]);
        assert!((metrics["r2"] - 0.948_608_137).abs() < 1e-9);
        assert_eq!((metrics["mae"], metrics["rmse"]), (0.5, 0.375f64.sqrt()));
    }

    #[test]
    fn what_is_not_defined_is_left_out() {
        assert_eq!(regression_metrics(&[], &[]).len(), 1);
        assert_eq!(regression_metrics(&[f64::NAN], &[1.0]).len(), 1);
        let constant = regression_metrics(&[1.0, 2.0], &[1.0, 1.0]);
        assert!(!constant.contains_key("r2") && constant["mae"] == 0.5);
    }
}
