//! Samples of numbers. Every statistic here drops what is not finite first: a missing value is not a value, and its share is a
//! matter of its own.

/// The finite values.
pub fn finite_values(values: &[f64]) -> Vec<f64> {
    values.iter().copied().filter(|v| v.is_finite()).collect()
}

/// The finite values, ascending; -0 becomes 0.
pub(crate) fn sorted_finite(values: &[f64]) -> Vec<f64> {
    let mut values: Vec<f64> = values.iter().filter(|v| v.is_finite()).map(|v| v + 0.0).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The arithmetic mean; `None` without values.
pub fn mean_of(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The population standard deviation; `None` without values.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean_of(values)?;
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    Some((squares / values.len() as f64).sqrt())
}

/// The quantile of ascending values by linear interpolation (NumPy's default); `None` without values.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    let (a, b) = (sorted[low], sorted[(low + 1).min(last)]);
    // NumPy's interpolation, to the last bit: from the nearer end.
    Some(if part >= 0.5 {
        b - (b - a) * (1.0 - part)
    } else {
        a + (b - a) * part
    })
}

/// How many distinct values; the values ascend.
pub(crate) fn count_distinct(sorted: &[f64]) -> usize {
    sorted.chunk_by(|a, b| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_values_count() {
        assert_eq!(finite_values(&[1.0, f64::NAN, f64::INFINITY, -2.0]), [1.0, -2.0]);
        assert_eq!(sorted_finite(&[1.0, -0.0, f64::NEG_INFINITY])[0].to_bits(), 0.0f64.to_bits());
        assert_eq!((mean_of(&[]), deviation(&[]), quantile(&[], 0.5)), (None, None, None));
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 3.0], 0.5), Some(1.5));
        assert_eq!(quantile(&[7.0], 0.3), Some(7.0));
        assert_eq!(quantile(&[1.0, 2.0], 1.0), Some(2.0));
    }
}
