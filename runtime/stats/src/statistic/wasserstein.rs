//! The first Wasserstein distance of binned values, on the scale of the reference's ranks. In a column's own unit no threshold would hold
//! for two columns; on the rank scale one holds for all, and a single far value weighs no more than its share.

/// The first Wasserstein distance of ordered bins on the reference's rank scale, Σ |P − Q|·p, from 0 to 1: how far the values moved on
/// average, as a share of the reference's rows that they moved past. The bins must ascend.
///
/// It is the distance of the two samples after the reference's distribution function was applied to both; SciPy's
/// `wasserstein_distance` and Evidently's `wasserstein` measure in the column's unit and in its standard deviations.
///
/// ```
/// use tidemill_stats::statistic::wasserstein_ordered;
///
/// // All rows of the lowest quarter moved to the next: a quarter of the rows passed a quarter of the reference.
/// assert_eq!(wasserstein_ordered(&[0.25; 4], &[0.0, 0.5, 0.25, 0.25]), 0.0625);
/// ```
pub fn wasserstein_ordered(reference: &[f64], current: &[f64]) -> f64 {
    let (mut gap, mut area) = (0.0, 0.0);
    for (p, q) in reference.iter().zip(current) {
        gap += p - q;
        area += f64::abs(gap) * p;
    }
    area
}

/// The total variation distance, ½ Σ |p − q|, from 0 to 1: the first Wasserstein distance of categories, which are all equally far
/// from each other.
///
/// ```
/// use tidemill_stats::statistic::total_variation;
///
/// assert_eq!(total_variation(&[0.5, 0.5, 0.0], &[0.25, 0.5, 0.25]), 0.25);
/// ```
pub fn total_variation(reference: &[f64], current: &[f64]) -> f64 {
    0.5 * reference.iter().zip(current).map(|(p, q)| (p - q).abs()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_of_one_bin_is_one_share() {
        let (reference, current) = ([0.1; 10], [0.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2]);
        assert!((wasserstein_ordered(&reference, &current) - 0.09).abs() < 1e-14);
    }

    #[test]
    fn no_bins_have_no_distance() {
        assert_eq!((wasserstein_ordered(&[], &[]), total_variation(&[], &[])), (0.0, 0.0));
    }
}
