//! The first Wasserstein distance: the area between the two distribution functions, in the column's own unit. Normed by the
//! reference's deviation it has none.

use crate::sample::{deviation, finite_values, sorted_finite};
use crate::{AppliesTo, Statistic};

/// In the column's unit: no threshold makes sense for all columns, so the default is none at all (0).
pub const WASSERSTEIN: Statistic = Statistic {
    name: "wasserstein",
    applies_to: AppliesTo::Numeric,
    threshold: 0.0,
    is_p_value: false,
    source: "SciPy `wasserstein_distance`, NannyML 0.13 `wasserstein`",
};

/// Over max(population deviation of the reference, 0.001).
pub const WASSERSTEIN_NORMED: Statistic = Statistic {
    name: "wasserstein-normed",
    applies_to: AppliesTo::Numeric,
    threshold: 0.1,
    is_p_value: false,
    source: "Evidently 0.7 `wasserstein`",
};

/// ∫ |F − G|. `None` where a side has no finite value.
pub fn wasserstein(reference: &[f64], current: &[f64]) -> Option<f64> {
    let (a, b) = (sorted_finite(reference), sorted_finite(current));
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (mut i, mut j, mut area) = (0, 0, 0.0);
    let mut here = a[0].min(b[0]);
    while i < a.len() || j < b.len() {
        let next = a
            .get(i)
            .copied()
            .unwrap_or(f64::INFINITY)
            .min(b.get(j).copied().unwrap_or(f64::INFINITY));
        area += (i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs() * (next - here);
        here = next;
        i += a[i..].iter().take_while(|v| **v == next).count();
        j += b[j..].iter().take_while(|v| **v == next).count();
    }
    Some(area)
}

/// [`wasserstein`] over the reference's deviation.
pub fn wasserstein_normed(reference: &[f64], current: &[f64]) -> Option<f64> {
    let norm = deviation(&finite_values(reference))?.max(0.001);
    Some(wasserstein(reference, current)? / norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_is_its_distance() {
        assert_eq!(wasserstein(&[0.0, 1.0, 3.0], &[5.0, 6.0, 8.0]), Some(5.0));
        assert_eq!(wasserstein(&[1.0], &[1.0, f64::NAN, f64::INFINITY]), Some(0.0));
        assert_eq!(wasserstein_normed(&[3.0; 4], &[4.0]), Some(1000.0));
        assert_eq!(wasserstein(&[], &[1.0]), None);
    }
}
