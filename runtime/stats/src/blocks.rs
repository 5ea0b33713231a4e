//! Whether a window has drifted, where rows of a block (a day) depend on each other. The weather of a day is shared by all of its
//! flights, so thousands of rows may be worth a few dozen: tests that count rows call every month drifted. Here whole blocks are drawn.
//!
//! *Statistic*: the distance between the pooled counts of the window and of the reference. *Null distribution*: two sets of blocks
//! are drawn from the reference with replacement, as many as it has and as many as the window has, and their distance is taken; so
//! both the window's and the reference's own sampling error are in it. *Family*: the same draws serve all columns; each column's
//! distance is standardised by its own mean and deviation, and the greatest of them (max-T, Westfall and Young 1993) gives one
//! critical value at which the chance of any false alarm in the window is the rate asked for. *Few blocks*: the bootstrap's variance
//! is short by (B − 1)/B and its tails are a normal's rather than Student's; drawn distances are stretched for both. *Floor*: what is
//! certain but smaller than `minimum_effect` is not drift.

use crate::special::normal_isf;
use crate::{AppliesTo, SplitMix64, Statistic, jensen_shannon, l_infinity, psi};

/// The table's entry.
pub(crate) const BLOCKS: Statistic = Statistic {
    name: "block-bootstrap",
    applies_to: AppliesTo::Any,
    threshold: 0.01,
    is_p_value: true,
    source: "Tidemill: max-T over columns, blocks drawn with replacement",
};

/// Fewest reference blocks from which a sampling error can be told; below, nothing is called drifted.
pub const MIN_BLOCKS: usize = 5;

/// Most draws, and most cells added up for all of them (about two seconds in a component).
const MAX_DRAWS: usize = 4000;
const MAX_CELLS: usize = 1_500_000_000;

/// How two lists of shares are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// Base 2, 0 to 1.
    JensenShannon,
    /// Empty bins count as a share of 1e-4.
    Psi,
    /// Of the distribution functions where the bins are ordered, otherwise of the shares.
    LInfinity,
}

/// A column's counts by block and bin. All columns have the same blocks in the same order, and a column the same bins on both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockCounts {
    /// Whether the bins but the last (which is "missing") are in order of value.
    pub ordered: bool,
    /// `[blocks][bins]`.
    pub reference: Vec<Vec<u64>>,
    /// `[blocks][bins]`.
    pub current: Vec<Vec<u64>>,
}

/// How to judge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriftSettings {
    /// What is measured between reference and current counts.
    pub distance: Distance,
    /// The chance that anything is called drifted where nothing is.
    pub false_alarm_rate: f64,
    /// In the distance's unit.
    pub minimum_effect: f64,
    /// For the draws under the null: equal seeds give equal verdicts.
    pub seed: u64,
}

/// What was found for one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriftVerdict {
    /// The distance; 0 where a side has no rows.
    pub statistic: f64,
    /// It is drift above this: the greater of critical value and floor.
    pub threshold: f64,
    /// Adjusted for all columns; `None` where there are too few blocks to tell.
    pub p_value: Option<f64>,
    /// Whether the statistic is above the threshold, and could be judged.
    pub drifted: bool,
}

/// One verdict a column, in their order. The same input and seed give the same verdicts everywhere.
pub fn detect_drift(columns: &[BlockCounts], settings: &DriftSettings) -> Vec<DriftVerdict> {
    let observed: Vec<f64> = columns
        .iter()
        .map(|c| distance(&pool_blocks(&c.reference), &pool_blocks(&c.current), c.ordered, settings.distance))
        .collect();
    let blocks = columns.iter().map(|c| c.reference.len()).min().unwrap_or(0);
    let window = columns.iter().map(|c| c.current.len()).max().unwrap_or(0);
    if blocks < MIN_BLOCKS || window == 0 {
        return observed
            .into_iter()
            .map(|statistic| undecided_verdict(statistic, settings))
            .collect();
    }
    let drawn = draw(columns, blocks, window, settings);
    let spreads: Vec<Spread> = drawn.iter().map(|distances| Spread::from_distances(distances)).collect();
    let greatest: Vec<f64> = (0..drawn[0].len())
        .map(|draw| {
            spreads
                .iter()
                .zip(&drawn)
                .map(|(s, d)| s.standardize(d[draw]))
                .fold(f64::NEG_INFINITY, f64::max)
        })
        .collect();
    let critical = upper_quantile(&greatest, settings.false_alarm_rate);
    observed
        .iter()
        .zip(&spreads)
        .map(|(statistic, spread)| verdict(*statistic, spread, critical, &greatest, settings))
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

fn verdict(statistic: f64, spread: &Spread, critical: f64, greatest: &[f64], settings: &DriftSettings) -> DriftVerdict {
    let threshold = (spread.mean + critical * spread.deviation).max(settings.minimum_effect);
    let place = match spread.deviation > 0.0 {
        true => spread.standardize(statistic),
        // A column that never varied: anything else is out of all measure.
        false if statistic > spread.mean => f64::INFINITY,
        false => f64::NEG_INFINITY,
    };
    let as_great = greatest.iter().filter(|g| **g >= place).count();
    DriftVerdict {
        statistic,
        threshold,
        p_value: Some((as_great + 1) as f64 / (greatest.len() + 1) as f64),
        drifted: statistic > threshold,
    }
}

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

/// Distances under the null, `[columns][draws]`.
fn draw(columns: &[BlockCounts], blocks: usize, window: usize, settings: &DriftSettings) -> Vec<Vec<f64>> {
    let bounds: Vec<(usize, usize)> = columns
        .iter()
        .scan(0, |end, c| {
            let start = *end;
            *end += c.reference.first().map_or(0, Vec::len);
            Some((start, *end))
        })
        .collect();
    let cells = bounds.last().map_or(0, |b| b.1);
    let rows: Vec<Vec<f64>> = (0..blocks)
        .map(|block| columns.iter().flat_map(|c| c.reference[block].iter().map(|n| *n as f64)).collect())
        .collect();
    let draws = (MAX_CELLS / (cells * (blocks + window).min(2 * blocks)).max(1)).clamp(500, MAX_DRAWS);
    let stretch = small_sample_correction(blocks, columns.len(), settings);
    let mut random = SplitMix64::new(settings.seed);
    let mut distances = vec![Vec::with_capacity(draws); columns.len()];
    for _ in 0..draws {
        let reference = sum_of_draws(&rows, blocks, cells, &mut random);
        let current = sum_of_draws(&rows, window, cells, &mut random);
        for ((column, (start, end)), distances) in columns.iter().zip(&bounds).zip(&mut distances) {
            let distance = distance(&reference[*start..*end], &current[*start..*end], column.ordered, settings.distance);
            distances.push(distance * stretch);
        }
    }
    distances
}

fn sum_of_draws(rows: &[Vec<f64>], count: usize, cells: usize, random: &mut SplitMix64) -> Vec<f64> {
    let mut times = vec![0u32; rows.len()];
    for _ in 0..count {
        times[random.next_below(rows.len())] += 1;
    }
    let mut sums = vec![0.0; cells];
    for (row, times) in rows.iter().zip(times).filter(|(_, times)| *times > 0) {
        let times = f64::from(times);
        for (sum, cell) in sums.iter_mut().zip(row) {
            *sum += times * cell;
        }
    }
    sums
}

/// √(B/(B−1)), times Student's quantile over the normal's by its first Cornish-Fisher term, 1 + (z² + 1)/(4(B − 1)). PSI grows with
/// the square of the error.
fn small_sample_correction(blocks: usize, columns: usize, settings: &DriftSettings) -> f64 {
    let (blocks, columns) = (blocks as f64, columns.max(1) as f64);
    let z = normal_isf((settings.false_alarm_rate / columns / 2.0).clamp(1e-9, 0.5));
    let stretch = (blocks / (blocks - 1.0)).sqrt() * (1.0 + (z * z + 1.0) / (4.0 * (blocks - 1.0)));
    if settings.distance == Distance::Psi {
        stretch * stretch
    } else {
        stretch
    }
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

fn distance(reference: &[f64], current: &[f64], ordered: bool, distance: Distance) -> f64 {
    let whole = |counts: &[f64]| {
        let total: f64 = counts.iter().sum();
        (total > 0.0).then(|| counts.iter().map(|c| c / total).collect::<Vec<_>>())
    };
    let (Some(p), Some(q)) = (whole(reference), whole(current)) else {
        return 0.0;
    };
    match distance {
        Distance::JensenShannon => (jensen_shannon::divergence(&p, &q) / std::f64::consts::LN_2).sqrt().min(1.0),
        Distance::Psi => {
            let (p, q) = (psi::floor_empty(p), psi::floor_empty(q));
            p.iter().zip(&q).map(|(p, q)| (p - q) * libm::log(p / q)).sum()
        }
        // "Missing" is the last bin: it has no place in the order, but its share can be the greatest difference.
        Distance::LInfinity if ordered => {
            l_infinity::max_cumulative_difference(&p, &q).max(p.last().zip(q.last()).map_or(0.0, |(p, q)| (p - q).abs()))
        }
        Distance::LInfinity => l_infinity::max_difference(&p, &q),
    }
}
