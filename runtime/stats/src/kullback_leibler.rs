//! The Kullback-Leibler divergence of the reference from the current sample, in nats. Not symmetric: reference first.

use crate::bins::{fill_empty, pooled_counts, shares};
use crate::{AppliesTo, Statistic};

/// Evidently's bins and fill.
pub const KULLBACK_LEIBLER: Statistic = Statistic {
    name: "kullback-leibler",
    applies_to: AppliesTo::Any,
    threshold: 0.1,
    is_p_value: false,
    source: "Evidently 0.7 `kl_div`",
};

/// From counts: empty bins are filled as in [`psi`](crate::psi), then both sides sum to 1 again. `None` where a side has no rows.
pub fn kullback_leibler(reference: &[u64], current: &[u64]) -> Option<f64> {
    let side = |counts| {
        let shares = fill_empty(shares(counts)?);
        let total: f64 = shares.iter().sum();
        Some(shares.into_iter().map(|s| s / total).collect::<Vec<_>>())
    };
    let (p, q) = (side(reference)?, side(current)?);
    Some(p.iter().zip(&q).map(|(p, q)| p * libm::log(p / q)).sum::<f64>().max(0.0))
}

/// Over Evidently's bins.
pub fn kullback_leibler_pooled(reference: &[f64], current: &[f64]) -> Option<f64> {
    let (reference, current) = pooled_counts(reference, current)?;
    kullback_leibler(&reference, &current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_symmetric_and_stays_finite() {
        let (a, b) = (
            kullback_leibler(&[9, 1], &[5, 5]).unwrap(),
            kullback_leibler(&[5, 5], &[9, 1]).unwrap(),
        );
        assert!((a - (0.9 * 1.8f64.ln() + 0.1 * 0.2f64.ln())).abs() < 1e-15 && a != b);
        assert!(kullback_leibler(&[1, 0], &[0, 1]).unwrap().is_finite());
        assert_eq!(kullback_leibler(&[0], &[1]), None);
    }
}
