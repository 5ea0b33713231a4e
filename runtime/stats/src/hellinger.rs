//! The Hellinger distance, √(1 − Σ √(p·q)): 0 to 1. Evidently bins numbers by Sturges over the pooled *distinct* values, NannyML by
//! Doane over the reference.

use crate::bins::{Bins, shares};
use crate::jensen_shannon::doane_counts;
use crate::sample::sorted_finite;
use crate::{AppliesTo, Statistic};

/// Evidently's bins.
pub const HELLINGER: Statistic = Statistic {
    name: "hellinger",
    applies_to: AppliesTo::Any,
    threshold: 0.1,
    is_p_value: false,
    source: "Evidently 0.7 `hellinger`",
};

/// From counts. `None` where a side has no rows.
pub fn hellinger(reference: &[u64], current: &[u64]) -> Option<f64> {
    // As half the squared distance of the roots: 1 − Σ √(p·q) would leave 1e-8 between equal samples.
    let (p, q) = (shares(reference)?, shares(current)?);
    let squares: f64 = p.iter().zip(&q).map(|(p, q)| (p.sqrt() - q.sqrt()) * (p.sqrt() - q.sqrt())).sum();
    Some((0.5 * squares).sqrt().min(1.0))
}

/// Over Sturges bins of the pooled distinct values.
pub fn hellinger_sturges(reference: &[f64], current: &[f64]) -> Option<f64> {
    let mut values = sorted_finite(&[reference, current].concat());
    values.dedup();
    let bins = Bins::sturges(&values)?;
    hellinger(&bins.counts(reference).0, &bins.counts(current).0)
}

/// Over Doane bins of the reference, with one for what lies outside (NannyML).
pub fn hellinger_doane(reference: &[f64], current: &[f64]) -> Option<f64> {
    let (reference, current) = doane_counts(reference, current)?;
    hellinger(&reference, &current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_nothing() {
        assert_eq!(hellinger(&[2, 0], &[0, 3]), Some(1.0));
        assert_eq!(hellinger(&[2, 7], &[2, 7]), Some(0.0));
        assert_eq!(hellinger(&[], &[]), None);
        assert_eq!(hellinger_sturges(&[1.0], &[1.0]), Some(0.0));
    }
}
