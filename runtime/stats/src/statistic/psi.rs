//! The population stability index. Its value depends on the bins and on the replacement for empty bins at least as much as on the data: the
//! same samples gave 0.09 by reference deciles and 0.56 by pooled Sturges bins.

/// The share that replaces an empty bin.
const EMPTY_SHARE: f64 = 1e-4;

/// The population stability index, Σ (p − q)·ln(p / q): 0 for equal shares, without an upper bound.
///
/// The definition is the classic one of credit scoring: an empty bin counts as a share of 1e-4, 0.1 is a value to watch, and 0.2 one to
/// act on. The index grows with the square of the difference.
///
/// ```
/// use tidemill_stats::statistic::psi;
///
/// assert_eq!(psi(&[0.4, 0.6], &[0.4, 0.6]), 0.0);
/// assert!(psi(&[0.4, 0.6], &[0.6, 0.4]) > 0.1);
/// assert!(psi(&[1.0, 0.0], &[0.0, 1.0]).is_finite());
/// ```
pub fn psi(reference: &[f64], current: &[f64]) -> f64 {
    let fill = |share: &f64| if *share == 0.0 { EMPTY_SHARE } else { *share };
    let term = |(p, q): (f64, f64)| (p - q) * libm::log(p / q);
    reference.iter().map(fill).zip(current.iter().map(fill)).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_number() {
        // (0.5 − 0.25)·ln(0.5 / 0.25) + (0.5 − 0.75)·ln(0.5 / 0.75)
        let expected = 0.25 * std::f64::consts::LN_2 + 0.25 * (0.75f64 / 0.5).ln();
        assert!((psi(&[0.5, 0.5], &[0.25, 0.75]) - expected).abs() < 1e-14);
        assert_eq!(psi(&[], &[]), 0.0);
    }

    #[test]
    fn two_empty_bins_add_nothing() {
        assert_eq!(psi(&[1.0, 0.0], &[1.0, 0.0]), 0.0);
    }
}
