//! The Jensen-Shannon *distance* in base 2. Other tools take natural logarithms, or the divergence without the root: a threshold for one
//! means nothing to the others.

use std::f64::consts::LN_2;

/// The Jensen-Shannon distance: the square root of the divergence in bits, from 0 (equal) to 1 (no bin in common).
///
/// The definition is that of NannyML 0.13 (`jensen_shannon`) and of SciPy's `jensenshannon(…, base=2)`. Empty bins need no filling.
///
/// ```
/// use tidemill_stats::statistic::jensen_shannon;
///
/// assert_eq!(jensen_shannon(&[0.4, 0.6], &[0.4, 0.6]), 0.0);
/// assert_eq!(jensen_shannon(&[1.0, 0.0], &[0.0, 1.0]), 1.0);
/// ```
pub fn jensen_shannon(reference: &[f64], current: &[f64]) -> f64 {
    (divergence(reference, current) / LN_2).sqrt().min(1.0)
}

/// The divergence in nats.
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    let toward = |share: f64, middle: f64| if share > 0.0 { share * libm::log(share / middle) } else { 0.0 };
    let both = |(p, q): (&f64, &f64)| {
        let middle = 0.5 * (p + q);
        toward(*p, middle) + toward(*q, middle)
    };
    // Rounding can make the sum slightly negative, and its root NaN.
    (0.5 * p.iter().zip(q).map(both).sum::<f64>()).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_number() {
        // SciPy: jensenshannon([1/3, 1/3, 1/3], [2/3, 1/3, 0], base=2)
        let third = 1.0 / 3.0;
        let distance = jensen_shannon(&[third; 3], &[2.0 * third, third, 0.0]);
        assert!((distance - 0.455_542_258_895_288_3).abs() < 1e-14, "{distance}");
    }

    #[test]
    fn rounding_never_makes_it_nan() {
        let shares = [0.1, 0.2, 0.3, 0.4].map(|share| share / 3.0);
        assert_eq!(jensen_shannon(&shares, &shares), 0.0);
        assert_eq!(jensen_shannon(&[], &[]), 0.0);
    }
}
