//! Equal-width bins as NumPy makes them, reference quantiles, and counts by value. The last equal-width bin includes its upper
//! edge; everything outside is counted apart.

use std::collections::BTreeMap;

use crate::sample::{deviation, mean_of, quantile, sorted_finite};

/// All edges, ascending: `edges.len() - 1` bins.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    edges: Vec<f64>,
}

impl Bins {
    /// Sturges' rule over these values: width = range / (log2 n + 1). `None` without values.
    pub fn sturges(values: &[f64]) -> Option<Self> {
        let values = sorted_finite(values);
        let width = value_range(&values)? / (libm::log2(values.len() as f64) + 1.0);
        Self::equal_width(&values, width)
    }

    /// Doane's rule over these values: like Sturges', with more bins the more skewed they are. `None` without values.
    pub fn doane(values: &[f64]) -> Option<Self> {
        let values = sorted_finite(values);
        let (range, n) = (value_range(&values)?, values.len() as f64);
        let (mean, deviation) = (mean_of(&values)?, deviation(&values)?);
        if values.len() <= 2 || deviation == 0.0 {
            return Self::equal_width(&values, 0.0);
        }
        let error = (6.0 * (n - 2.0) / ((n + 1.0) * (n + 3.0))).sqrt();
        let cube = |v: &f64| ((v - mean) / deviation) * ((v - mean) / deviation) * ((v - mean) / deviation);
        let skewness = values.iter().map(cube).sum::<f64>() / n;
        Self::equal_width(&values, range / (1.0 + libm::log2(n) + libm::log2(1.0 + skewness.abs() / error)))
    }

    fn equal_width(sorted: &[f64], width: f64) -> Option<Self> {
        let (mut low, mut high) = (*sorted.first()?, *sorted.last()?);
        let count = if width > 0.0 { ((high - low) / width).ceil().max(1.0) } else { 1.0 };
        if low == high {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let step = (high - low) / count;
        let mut edges: Vec<f64> = (0..count as usize).map(|i| i as f64 * step + low).collect();
        edges.push(high);
        Some(Self { edges })
    }

    /// How many bins.
    pub fn count(&self) -> usize {
        self.edges.len() - 1
    }

    /// The edges, both ends included.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Values in each bin, and the finite values outside.
    pub fn counts(&self, values: &[f64]) -> (Vec<u64>, u64) {
        let (mut counts, mut outside) = (vec![0; self.count()], 0);
        for value in values.iter().filter(|v| v.is_finite()) {
            let at_most = self.edges.partition_point(|edge| edge <= value);
            let bin = if at_most == self.edges.len() && *value == self.edges[at_most - 1] {
                at_most - 1
            } else {
                at_most
            };
            match bin.checked_sub(1).and_then(|bin| counts.get_mut(bin)) {
                Some(count) => *count += 1,
                None => outside += 1,
            }
        }
        (counts, outside)
    }
}

fn value_range(sorted: &[f64]) -> Option<f64> {
    Some(sorted.last()? - sorted.first()?)
}

/// The distinct inner deciles of the reference: a value x is in bin "number of edges ≤ x".
pub(crate) fn decile_edges(reference: &[f64]) -> Vec<f64> {
    let values = sorted_finite(reference);
    let mut edges: Vec<f64> = (1..10).filter_map(|i| quantile(&values, f64::from(i) / 10.0)).collect();
    edges.dedup();
    edges
}

/// Values by "number of edges ≤ x": `edges.len() + 1` counts.
pub(crate) fn counts_by_edges(edges: &[f64], values: &[f64]) -> Vec<u64> {
    let mut counts = vec![0; edges.len() + 1];
    for value in values.iter().filter(|v| v.is_finite()) {
        counts[edges.partition_point(|edge| edge <= value)] += 1;
    }
    counts
}

/// Counts of each distinct value of either sample, in the order of the values.
pub fn value_counts(reference: &[f64], current: &[f64]) -> (Vec<u64>, Vec<u64>) {
    // A float's bits in the order of the numbers, so that it can be a key.
    let key = |v: &f64| {
        let bits = (v + 0.0).to_bits() as i64;
        bits ^ (((bits >> 63) as u64) >> 1) as i64
    };
    let keys = |values: &[f64]| values.iter().filter(|v| v.is_finite()).map(key).collect::<Vec<_>>();
    category_counts(&keys(reference), &keys(current))
}

/// Counts of each category of either sample, in the order of the categories. Missing ones must be left out before.
pub fn category_counts<T: Ord>(reference: &[T], current: &[T]) -> (Vec<u64>, Vec<u64>) {
    let mut counts: BTreeMap<&T, (u64, u64)> = BTreeMap::new();
    for value in reference {
        counts.entry(value).or_default().0 += 1;
    }
    for value in current {
        counts.entry(value).or_default().1 += 1;
    }
    counts.into_values().unzip()
}

/// Evidently's bins of numbers: pooled Sturges above 20 distinct reference values, otherwise one bin a value.
pub(crate) fn pooled_counts(reference: &[f64], current: &[f64]) -> Option<(Vec<u64>, Vec<u64>)> {
    let sorted_reference = sorted_finite(reference);
    if crate::sample::count_distinct(&sorted_reference) <= 20 {
        return Some(value_counts(reference, current));
    }
    let bins = Bins::sturges(&[reference, current].concat())?;
    Some((bins.counts(reference).0, bins.counts(current).0))
}

/// Shares of a whole; `None` if there is nothing.
pub(crate) fn shares(counts: &[u64]) -> Option<Vec<f64>> {
    let total: u64 = counts.iter().sum();
    (total > 0).then(|| counts.iter().map(|c| *c as f64 / total as f64).collect())
}

/// Evidently's stand-in for empty bins: 1e-4, or a millionth of the smallest share where that is no more than 1e-4.
pub(crate) fn fill_empty(mut shares: Vec<f64>) -> Vec<f64> {
    let smallest = shares.iter().copied().filter(|s| *s > 0.0).fold(f64::INFINITY, f64::min);
    let fill = if smallest <= 1e-4 { smallest / 1e6 } else { 1e-4 };
    for share in shares.iter_mut().filter(|s| **s == 0.0) {
        *share = fill;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bin_includes_its_edge() {
        let bins = Bins::sturges(&[0.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!(bins.edges(), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(bins.counts(&[0.0, 3.0, 3.1, -0.1, f64::NAN, 1.0]), (vec![1, 1, 1], 2));
    }

    #[test]
    fn a_constant_gets_one_bin_and_nothing_gets_none() {
        assert_eq!(Bins::doane(&[3.0; 5]).unwrap().edges(), [2.5, 3.5]);
        assert_eq!(Bins::sturges(&[f64::NAN]), None);
        assert_eq!(decile_edges(&[3.0; 5]), [3.0]);
    }

    #[test]
    fn values_are_counted_in_order() {
        let (a, b) = value_counts(&[2.0, -1.0, 0.0, -0.0], &[-1.0, 5.0]);
        assert_eq!((a, b), (vec![1, 2, 1, 0], vec![1, 0, 0, 1]));
    }
}
