//! The Hellinger distance.

/// The Hellinger distance, √(1 − Σ √(p·q)), from 0 (equal) to 1 (no bin in common).
///
/// The definition is that of Evidently 0.7 and NannyML 0.13 (`hellinger`); the two differ only in how they bin numbers.
///
/// ```
/// use tidemill_stats::statistic::hellinger;
///
/// assert_eq!(hellinger(&[0.4, 0.6], &[0.4, 0.6]), 0.0);
/// assert_eq!(hellinger(&[1.0, 0.0], &[0.0, 1.0]), 1.0);
/// ```
pub fn hellinger(reference: &[f64], current: &[f64]) -> f64 {
    // Half the squared distance of the roots: 1 − Σ √(p·q) would leave 1e-8 between equal samples.
    let square = |(p, q): (&f64, &f64)| (p.sqrt() - q.sqrt()) * (p.sqrt() - q.sqrt());
    let squares: f64 = reference.iter().zip(current).map(square).sum();
    (0.5 * squares).sqrt().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_number() {
        // √(1 − √(0.36·0.64) − √(0.64·0.36)) = √0.04
        assert!((hellinger(&[0.36, 0.64], &[0.64, 0.36]) - 0.2).abs() < 1e-14);
        assert_eq!(hellinger(&[], &[]), 0.0);
    }
}
