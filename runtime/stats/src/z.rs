//! The z-test of two proportions, pooled and two-sided: for columns with two values.

use crate::special::normal_sf;
use crate::{AppliesTo, Statistic};

/// The p-value.
pub const Z: Statistic = Statistic {
    name: "z",
    applies_to: AppliesTo::Any,
    threshold: 0.05,
    is_p_value: true,
    source: "Evidently 0.7 `z`",
};

/// The p-value for `hits` of `rows` on each side. 1 where both sides are all hits or all misses; `None` where a side has no rows.
pub fn two_proportion_z_test(reference_hits: u64, reference_rows: u64, current_hits: u64, current_rows: u64) -> Option<f64> {
    if reference_rows == 0 || current_rows == 0 {
        return None;
    }
    let (n, m) = (reference_rows as f64, current_rows as f64);
    let (p, q) = (reference_hits as f64 / n, current_hits as f64 / m);
    let pooled = (reference_hits + current_hits) as f64 / (n + m);
    let error = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    Some(if error > 0.0 {
        (2.0 * normal_sf(((p - q) / error).abs())).min(1.0)
    } else {
        1.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges() {
        assert_eq!(two_proportion_z_test(3, 3, 5, 5), Some(1.0));
        assert_eq!(two_proportion_z_test(0, 0, 5, 5), None);
        assert!((two_proportion_z_test(25, 25, 0, 10).unwrap() - 3.297_053_297_046_659e-9).abs() < 1e-16);
    }
}
