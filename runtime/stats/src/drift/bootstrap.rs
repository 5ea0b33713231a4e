//! Distances under the null hypothesis: blocks are drawn from the reference with replacement.

use super::{BlockCounts, DriftSettings, distance, method::is_quadratic};
use crate::{SplitMix64, special::normal_isf};

/// Maximum number of draws, and of cells that are summed in all of them together (about two seconds in a component).
const MAX_DRAWS: usize = 4000;
const MAX_CELLS: usize = 1_500_000_000;

/// Distances under the null hypothesis, `[columns][draws]`.
pub(super) fn draw(columns: &[BlockCounts], blocks: usize, window: usize, settings: &DriftSettings) -> Vec<Vec<f64>> {
    let bounds: Vec<(usize, usize)> = columns
        .iter()
        .scan(0, |end, column| {
            let start = *end;
            *end += column.reference.first().map_or(0, Vec::len);
            Some((start, *end))
        })
        .collect();
    let cells = bounds.last().map_or(0, |bound| bound.1);
    let rows: Vec<Vec<f64>> = (0..blocks)
        .map(|block| columns.iter().flat_map(|c| c.reference[block].iter().map(|n| *n as f64)).collect())
        .collect();
    let draws = (MAX_CELLS / (cells * (blocks + window).min(2 * blocks)).max(1)).clamp(500, MAX_DRAWS);
    let correction = small_sample_correction(blocks, columns.len(), settings);
    let mut random = SplitMix64::new(settings.seed);
    let mut distances = vec![Vec::with_capacity(draws); columns.len()];
    for _ in 0..draws {
        let reference = sum_drawn_blocks(&rows, blocks, cells, &mut random);
        let current = sum_drawn_blocks(&rows, window, cells, &mut random);
        for ((column, (start, end)), distances) in columns.iter().zip(&bounds).zip(&mut distances) {
            let distance = distance(&reference[*start..*end], &current[*start..*end], column.ordered, settings.method);
            distances.push(distance * correction);
        }
    }
    distances
}

fn sum_drawn_blocks(rows: &[Vec<f64>], count: usize, cells: usize, random: &mut SplitMix64) -> Vec<f64> {
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

/// The factor √(B/(B−1)), times the ratio of Student's quantile to the normal's by its first Cornish-Fisher term, 1 + (z² + 1)/(4(B − 1));
/// squared for a distance that grows with the square of the error.
fn small_sample_correction(blocks: usize, columns: usize, settings: &DriftSettings) -> f64 {
    let (blocks, columns) = (blocks as f64, columns.max(1) as f64);
    let z = normal_isf((settings.false_alarm_rate / columns / 2.0).clamp(1e-9, 0.5));
    let stretch = (blocks / (blocks - 1.0)).sqrt() * (1.0 + (z * z + 1.0) / (4.0 * (blocks - 1.0)));
    if is_quadratic(settings.method) {
        stretch * stretch
    } else {
        stretch
    }
}
