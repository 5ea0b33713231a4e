//! Drift detection for windows in which the rows of a block (a day) depend on each other.
//!
//! All flights of a day share its weather, so thousands of rows may be worth a few dozen: tests that count rows call every month drifted.
//! Here whole blocks are drawn.
//!
//! - *Statistic*: the distance between the pooled counts of the window and of the reference, by a [`DriftMethod`].
//! - *Null distribution*: two sets of blocks are drawn from the reference with replacement, as many as the reference has and as many as the
//!   window has, and their distance is computed. It therefore includes the sampling error of both the window and the reference.
//! - *Family of columns*: the same draws serve all columns. Each column's distance is standardised by its own mean and deviation, and the
//!   greatest of them (max-T, Westfall and Young 1993) gives one critical value at which the probability of any false alarm in the window
//!   is the configured rate.
//! - *Few blocks*: the bootstrap's variance is too small by the factor (B − 1)/B, and its tails are a normal's rather than Student's; the
//!   drawn distances are stretched for both.
//! - *Floor*: a difference that is certain but smaller than `minimum_effect` is not drift.

mod bootstrap;
mod method;

use tidemill_core::spec::DriftMethod;

use crate::statistic::shares_of_sums;

/// Minimum number of reference blocks for a sampling error. With fewer, no column is called drifted.
pub const MIN_BLOCKS: usize = 5;

/// A column's counts by block and bin. All columns have the same blocks in the same order, and a column has the same bins on both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockCounts {
    /// Whether the bins are in order of value, except the last, which counts missing values.
    pub ordered: bool,
    /// `[blocks][bins]`.
    pub reference: Vec<Vec<u64>>,
    /// `[blocks][bins]`.
    pub current: Vec<Vec<u64>>,
}

/// The settings by which drift is measured and decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriftSettings {
    /// The distance between reference and current counts.
    pub method: DriftMethod,
    /// The probability that any column is called drifted in a window without drift.
    pub false_alarm_rate: f64,
    /// The smallest distance that counts as drift, in the method's unit.
    pub minimum_effect: f64,
    /// The seed of the draws: equal seeds give equal verdicts.
    pub seed: u64,
}

/// The decision about one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriftVerdict {
    /// The distance; 0 if a side has no rows.
    pub statistic: f64,
    /// A statistic above this is drift: the greater of the critical value and `minimum_effect`.
    pub threshold: f64,
    /// The p-value, adjusted for all columns; `None` if there are too few blocks to decide.
    pub p_value: Option<f64>,
    /// Whether the statistic is above the threshold and there are enough blocks to decide.
    pub drifted: bool,
}

/// Decides for each column whether it drifted, in the order of `columns`. The same input and seed give the same verdicts on every platform.
///
/// ```
/// use tidemill_core::spec::DriftMethod;
/// use tidemill_stats::{BlockCounts, DriftSettings, detect_drift};
///
/// let settings = DriftSettings {
///     method: DriftMethod::JensenShannon,
///     false_alarm_rate: 0.01,
///     minimum_effect: 0.1,
///     seed: 7,
/// };
/// // Thirty days of training data, and a week in which all values moved to the other bin.
/// let column = BlockCounts {
///     ordered: false,
///     reference: (0..30).map(|day| vec![90 + day % 7, 10, 0]).collect(),
///     current: vec![vec![10, 90, 0]; 7],
/// };
/// let verdict = detect_drift(&[column], &settings)[0];
/// assert!(verdict.drifted && verdict.statistic > verdict.threshold);
/// ```
pub fn detect_drift(columns: &[BlockCounts], settings: &DriftSettings) -> Vec<DriftVerdict> {
    let observed: Vec<f64> = columns
        .iter()
        .map(|c| distance(&pool_blocks(&c.reference), &pool_blocks(&c.current), c.ordered, settings.method))
        .collect();
    let blocks = columns.iter().map(|c| c.reference.len()).min().unwrap_or(0);
    let window = columns.iter().map(|c| c.current.len()).max().unwrap_or(0);
    if blocks < MIN_BLOCKS || window == 0 {
        return observed
            .into_iter()
            .map(|statistic| undecided_verdict(statistic, settings))
            .collect();
    }
    let drawn = bootstrap::draw(columns, blocks, window, settings);
    let spreads: Vec<Spread> = drawn.iter().map(|distances| Spread::from_distances(distances)).collect();
    let greatest: Vec<f64> = (0..drawn[0].len())
        .map(|draw| {
            spreads
                .iter()
                .zip(&drawn)
                .map(|(spread, distances)| spread.standardize(distances[draw]))
                .fold(f64::NEG_INFINITY, f64::max)
        })
        .collect();
    let critical = upper_quantile(&greatest, settings.false_alarm_rate);
    observed
        .iter()
        .zip(&spreads)
        .map(|(statistic, spread)| decide(*statistic, spread, critical, &greatest, settings))
        .collect()
}

fn undecided_verdict(statistic: f64, settings: &DriftSettings) -> DriftVerdict {
    DriftVerdict {
        statistic,
        threshold: settings.minimum_effect,
        p_value: None,
        drifted: false,
    }
}

fn decide(statistic: f64, spread: &Spread, critical: f64, greatest: &[f64], settings: &DriftSettings) -> DriftVerdict {
    let threshold = (spread.mean + critical * spread.deviation).max(settings.minimum_effect);
    let standardized = match spread.deviation > 0.0 {
        true => spread.standardize(statistic),
        // A column that never varied: any other value is infinitely unlikely.
        false if statistic > spread.mean => f64::INFINITY,
        false => f64::NEG_INFINITY,
    };
    let as_great = greatest.iter().filter(|g| **g >= standardized).count();
    DriftVerdict {
        statistic,
        threshold,
        p_value: Some((as_great + 1) as f64 / (greatest.len() + 1) as f64),
        drifted: statistic > threshold,
    }
}

/// Mean and deviation of a column's distances under the null hypothesis.
struct Spread {
    mean: f64,
    deviation: f64,
}

impl Spread {
    fn from_distances(distances: &[f64]) -> Self {
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let squares: f64 = distances.iter().map(|d| (d - mean) * (d - mean)).sum();
        Self {
            mean,
            deviation: (squares / distances.len() as f64).sqrt(),
        }
    }

    fn standardize(&self, distance: f64) -> f64 {
        if self.deviation > 0.0 {
            (distance - self.mean) / self.deviation
        } else {
            f64::NEG_INFINITY
        }
    }
}

/// The value with at most the share `rate` of `values` above it.
fn upper_quantile(values: &[f64], rate: f64) -> f64 {
    let mut values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let rank = ((1.0 - rate) * (values.len() + 1) as f64).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied().unwrap_or(0.0)
}

fn pool_blocks(blocks: &[Vec<u64>]) -> Vec<f64> {
    let mut sums = vec![0.0; blocks.first().map_or(0, Vec::len)];
    for block in blocks {
        for (sum, count) in sums.iter_mut().zip(block) {
            *sum += *count as f64;
        }
    }
    sums
}

/// The distance between two lists of summed counts; 0 if a side has no rows.
fn distance(reference: &[f64], current: &[f64], ordered: bool, method: DriftMethod) -> f64 {
    match (shares_of_sums(reference), shares_of_sums(current)) {
        (Some(reference), Some(current)) => method::distance(method, &reference, &current, ordered),
        _ => 0.0,
    }
}
