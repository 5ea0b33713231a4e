//! Profiles of values in memory.

use std::{borrow::Cow, collections::HashMap};

use tidemill_core::record::ProfileKind;

use super::{MAX_CATEGORIES, QUANTILE_STEPS, inner_edges};

/// Maximum number of bins for numbers: fifty with about equal numbers of rows.
const MAX_BINS: usize = 50;

/// The profile of numbers; NaN is missing and left out. Moments and quantiles are exact.
///
/// ```
/// use tidemill_core::record::ProfileKind;
/// use tidemill_stats::profile::numeric_profile;
///
/// let ProfileKind::Numeric { minimum, mean, counts, .. } = numeric_profile([1.0, 2.0, f64::NAN, 6.0]) else {
///     unreachable!()
/// };
/// assert_eq!((minimum, mean, counts.iter().sum::<u64>()), (Some(1.0), Some(3.0), 3));
/// ```
pub fn numeric_profile(values: impl IntoIterator<Item = f64>) -> ProfileKind {
    // Adding 0 makes −0 a 0, which is equal to it and must not be a bin of its own.
    let mut sorted: Vec<f64> = values.into_iter().filter(|x| !x.is_nan()).map(|x| x + 0.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let rows = sorted.len() as f64;
    let mean = (!sorted.is_empty()).then(|| sorted.iter().sum::<f64>() / rows);
    let deviation = mean.map(|mean| (sorted.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / rows).sqrt());
    let edges = equal_frequency_edges(&sorted);
    let mut counts = vec![0; edges.len() + 1];
    for value in &sorted {
        counts[edges.partition_point(|edge| edge <= value)] += 1;
    }
    ProfileKind::Numeric {
        minimum: sorted.first().copied(),
        maximum: sorted.last().copied(),
        mean,
        deviation,
        quantiles: quantiles(&sorted),
        edges,
        counts,
    }
}

/// The profile of categories; the caller leaves out missing values.
///
/// ```
/// use tidemill_core::record::ProfileKind;
/// use tidemill_stats::profile::categorical_profile;
///
/// let ProfileKind::Categorical { top, distinct, .. } = categorical_profile(["b", "a", "b"].map(Into::into)) else {
///     unreachable!()
/// };
/// assert_eq!((top, distinct), (vec![("b".to_owned(), 2), ("a".to_owned(), 1)], 2));
/// ```
pub fn categorical_profile<'a>(values: impl IntoIterator<Item = Cow<'a, str>>) -> ProfileKind {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for category in values {
        match counts.get_mut(category.as_ref()) {
            Some(count) => *count += 1,
            None => _ = counts.insert(category.into_owned(), 1),
        }
    }
    let distinct = counts.len() as u64;
    let mut top: Vec<(String, u64)> = counts.into_iter().collect();
    top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let other = top.iter().skip(MAX_CATEGORIES).map(|(_, count)| count).sum();
    top.truncate(MAX_CATEGORIES);
    ProfileKind::Categorical { distinct, top, other }
}

fn quantiles(sorted: &[f64]) -> Vec<f64> {
    if sorted.is_empty() {
        return Vec::new();
    }
    (0..=QUANTILE_STEPS)
        .map(|step| quantile(sorted, step as f64 / QUANTILE_STEPS as f64))
        .collect()
}

/// Linear interpolation between the two nearest values; `sorted` is not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    if low == high { low } else { low + (high - low) * position.fract() }
}

/// Values that divide the rows into about equal bins. A value that many rows share is a bin of its own.
fn equal_frequency_edges(sorted: &[f64]) -> Vec<f64> {
    let Some(minimum) = sorted.first() else { return Vec::new() };
    let candidates = (1..MAX_BINS).map(|bin| sorted[sorted.len() * bin / MAX_BINS]);
    inner_edges(candidates.filter(|edge| edge.is_finite()), *minimum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_most_rows_share_is_one_bin() {
        let values = (0..1000).map(|i| if i < 900 { 0.0 } else { f64::from(i) }).chain([f64::NAN]);
        let ProfileKind::Numeric {
            edges, counts, quantiles, ..
        } = numeric_profile(values)
        else {
            panic!("numbers")
        };
        assert_eq!(counts.iter().sum::<u64>(), 1000);
        assert!(
            counts[0] >= 900 && edges.len() == counts.len() - 1 && edges.len() >= 4,
            "{edges:?} {counts:?}"
        );
        assert_eq!((quantiles.len(), quantiles[20]), (21, 999.0));
    }

    #[test]
    fn nothing_and_one_value_have_no_edges() {
        for values in [vec![], vec![f64::NAN; 2], vec![3.0; 5]] {
            let ProfileKind::Numeric { edges, counts, .. } = numeric_profile(values) else {
                panic!("numbers")
            };
            assert!(edges.is_empty() && counts.len() == 1);
        }
    }

    #[test]
    fn infinite_values_are_counted_and_make_no_edge() {
        let ProfileKind::Numeric {
            edges, counts, maximum, ..
        } = numeric_profile([f64::NEG_INFINITY, 1.0, f64::INFINITY])
        else {
            panic!("numbers")
        };
        assert_eq!((edges, counts, maximum), (vec![1.0], vec![1, 2], Some(f64::INFINITY)));
    }

    #[test]
    fn categories_beyond_the_most_frequent_are_counted_together() {
        let names: Vec<String> = (0..=MAX_CATEGORIES).map(|i| format!("{i:04}")).collect();
        let values = names.iter().map(|name| Cow::Borrowed(name.as_str())).chain(["0200".into()]);
        let ProfileKind::Categorical { top, distinct, other } = categorical_profile(values) else {
            panic!("text")
        };
        assert_eq!((top.len(), distinct, other), (MAX_CATEGORIES, 201, 1));
        assert_eq!((top[0].clone(), top[1].0.as_str()), (("0200".into(), 2), "0000"));
    }
}
