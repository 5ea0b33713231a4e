//! The greatest difference: of shares for categories, of the distribution functions over ordered bins for numbers. Deequ's `simple`
//! method and NannyML's `l_infinity`.

use crate::bins::shares;
use crate::{AppliesTo, Statistic};

/// Without Deequ's correction for small samples (`robust` takes 1.8·√((n + m) / (n·m)) off).
pub const L_INFINITY: Statistic = Statistic {
    name: "l-infinity",
    applies_to: AppliesTo::Any,
    threshold: 0.1,
    is_p_value: false,
    source: "Deequ `simple`, SageMaker Model Monitor, NannyML 0.13 `l_infinity`",
};

/// max |p − q| over categories. `None` where a side has no rows.
pub fn l_infinity(reference: &[u64], current: &[u64]) -> Option<f64> {
    Some(max_difference(&shares(reference)?, &shares(current)?))
}

/// max |P − Q| over the distribution functions at the bins' edges. `None` where a side has no rows.
pub fn l_infinity_ordered(reference: &[u64], current: &[u64]) -> Option<f64> {
    Some(max_cumulative_difference(&shares(reference)?, &shares(current)?))
}

pub(crate) fn max_difference(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| (p - q).abs()).fold(0.0, f64::max)
}

pub(crate) fn max_cumulative_difference(p: &[f64], q: &[f64]) -> f64 {
    let mut sum = 0.0;
    let mut largest: f64 = 0.0;
    for (p, q) in p.iter().zip(q) {
        sum += p - q;
        largest = largest.max(f64::abs(sum));
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_matters_for_numbers_only() {
        assert_eq!(l_infinity(&[1, 1, 1, 1], &[0, 0, 2, 2]), Some(0.25));
        assert_eq!(l_infinity_ordered(&[1, 1, 1, 1], &[0, 0, 2, 2]), Some(0.5));
        assert_eq!(l_infinity(&[0], &[1]), None);
    }
}
