//! The symmetric chi-square distance. The chi-square *test* grows with the number of rows; this does not, so that a threshold holds for
//! any window.

/// The symmetric chi-square distance, √(½ Σ (p − q)² / (p + q)), from 0 (equal) to 1 (no bin in common).
///
/// For two samples of one size n it is Cramér's V of their contingency table, √(χ² / 2n), without Yates's correction: 0.1 is a small
/// effect by Cohen's convention, 0.3 a medium one.
///
/// ```
/// use tidemill_stats::statistic::chi_square;
///
/// assert_eq!(chi_square(&[0.4, 0.6], &[0.4, 0.6]), 0.0);
/// assert_eq!(chi_square(&[1.0, 0.0], &[0.0, 1.0]), 1.0);
/// ```
pub fn chi_square(reference: &[f64], current: &[f64]) -> f64 {
    let term = |(p, q): (&f64, &f64)| if p + q > 0.0 { (p - q) * (p - q) / (p + q) } else { 0.0 };
    let sum: f64 = reference.iter().zip(current).map(term).sum();
    (0.5 * sum).sqrt().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_equal_sizes_it_is_cramers_v() {
        // SciPy: chi2_contingency([[10, 10, 10], [20, 10, 0]]).statistic = 13.333…, and V² = χ² / 60.
        let third = 1.0 / 3.0;
        let distance = chi_square(&[third; 3], &[2.0 * third, third, 0.0]);
        assert!((distance - (40.0f64 / 3.0 / 60.0).sqrt()).abs() < 1e-14, "{distance}");
        assert_eq!(chi_square(&[], &[]), 0.0);
    }
}
