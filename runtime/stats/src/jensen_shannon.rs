//! The Jensen-Shannon *distance*: the square root of the divergence. Evidently takes natural logarithms (at most 0.833),
//! NannyML base 2 (at most 1): a threshold of one means nothing to the other.

use std::f64::consts::LN_2;

use crate::bins::{Bins, pooled_counts, shares};
use crate::{AppliesTo, Statistic};

/// Natural logarithm, Evidently's bins.
pub const JENSEN_SHANNON_NATURAL: Statistic = Statistic {
    name: "jensen-shannon-natural",
    applies_to: AppliesTo::Any,
    threshold: 0.1,
    is_p_value: false,
    source: "Evidently 0.7 `jensenshannon`",
};

/// Base 2, Doane bins of the reference and one more for what lies outside. NannyML's own threshold is the mean plus three standard
/// deviations over the reference's chunks; 0.1 is its usual upper bound for "no drift".
pub const JENSEN_SHANNON_BINARY: Statistic = Statistic {
    name: "jensen-shannon",
    applies_to: AppliesTo::Any,
    threshold: 0.1,
    is_p_value: false,
    source: "NannyML 0.13 `jensen_shannon`",
};

/// The divergence of two lists of shares, in nats.
pub(crate) fn divergence(p: &[f64], q: &[f64]) -> f64 {
    let toward = |share: f64, middle: f64| if share > 0.0 { share * libm::log(share / middle) } else { 0.0 };
    let both = |(p, q): (&f64, &f64)| {
        let middle = 0.5 * (p + q);
        toward(*p, middle) + toward(*q, middle)
    };
    // Rounding can make it a hair less than nothing, whose root is no number.
    (0.5 * p.iter().zip(q).map(both).sum::<f64>()).max(0.0)
}

/// From counts, natural logarithm. `None` where a side has no rows.
pub fn jensen_shannon_natural(reference: &[u64], current: &[u64]) -> Option<f64> {
    Some(divergence(&shares(reference)?, &shares(current)?).sqrt())
}

/// From counts, base 2. `None` where a side has no rows.
pub fn jensen_shannon_binary(reference: &[u64], current: &[u64]) -> Option<f64> {
    Some((divergence(&shares(reference)?, &shares(current)?) / LN_2).sqrt().min(1.0))
}

/// Over Evidently's bins, natural logarithm.
pub fn jensen_shannon_pooled(reference: &[f64], current: &[f64]) -> Option<f64> {
    let (reference, current) = pooled_counts(reference, current)?;
    jensen_shannon_natural(&reference, &current)
}

/// Over Doane bins of the reference, base 2; what lies outside them goes to a bin where the reference has nothing.
pub fn jensen_shannon_doane(reference: &[f64], current: &[f64]) -> Option<f64> {
    let (reference, current) = doane_counts(reference, current)?;
    jensen_shannon_binary(&reference, &current)
}

/// NannyML's bins of numbers.
pub(crate) fn doane_counts(reference: &[f64], current: &[f64]) -> Option<(Vec<u64>, Vec<u64>)> {
    let bins = Bins::doane(reference)?;
    let (mut reference, _) = bins.counts(reference);
    let (mut current, outside) = bins.counts(current);
    reference.push(0);
    current.push(outside);
    Some((reference, current))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_nothing() {
        assert_eq!(jensen_shannon_binary(&[5, 0], &[0, 9]), Some(1.0));
        assert!((jensen_shannon_natural(&[5, 0], &[0, 9]).unwrap() - LN_2.sqrt()).abs() < 1e-15);
        assert_eq!(jensen_shannon_binary(&[3, 4], &[6, 8]), Some(0.0));
        assert_eq!(jensen_shannon_binary(&[0, 0], &[6, 8]), None);
        assert_eq!(jensen_shannon_doane(&[f64::NAN], &[1.0]), None);
    }
}
