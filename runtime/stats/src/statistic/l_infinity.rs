//! The greatest difference: of shares for categories, of distribution functions for ordered bins.

/// The greatest difference of shares, max |p − q|, from 0 to 1.
///
/// The definition is that of NannyML 0.13 (`l_infinity`), and of Deequ and SageMaker Model Monitor (`simple`; their `robust` subtracts
/// 1.8·√((n + m) / (n·m)) for small samples, which is not done here).
///
/// ```
/// use tidemill_stats::statistic::l_infinity;
///
/// assert_eq!(l_infinity(&[0.25, 0.25, 0.5], &[0.0, 0.25, 0.75]), 0.25);
/// ```
pub fn l_infinity(reference: &[f64], current: &[f64]) -> f64 {
    reference.iter().zip(current).map(|(p, q)| (p - q).abs()).fold(0.0, f64::max)
}

/// The greatest difference of the distribution functions at the bins' edges, max |P − Q|, from 0 to 1: the two-sample
/// Kolmogorov-Smirnov statistic D of the binned values. The bins must ascend.
///
/// ```
/// use tidemill_stats::statistic::{l_infinity, l_infinity_ordered};
///
/// let (reference, current) = ([0.25, 0.25, 0.25, 0.25], [0.0, 0.0, 0.5, 0.5]);
/// assert_eq!(l_infinity_ordered(&reference, &current), 0.5);
/// assert_eq!(l_infinity(&reference, &current), 0.25);
/// ```
pub fn l_infinity_ordered(reference: &[f64], current: &[f64]) -> f64 {
    let mut gap = 0.0;
    let mut largest: f64 = 0.0;
    for (p, q) in reference.iter().zip(current) {
        gap += p - q;
        largest = largest.max(f64::abs(gap));
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bins_have_no_difference() {
        assert_eq!((l_infinity(&[], &[]), l_infinity_ordered(&[], &[])), (0.0, 0.0));
    }
}
