//! Distances between two binned samples, one file each.
//!
//! Every function takes the [`shares`] of the reference and of the current sample over the same bins, in the same order; bins beyond the
//! shorter list are ignored. The result is 0 for equal shares, and never NaN for shares that [`shares`] returned.

mod chi_square;
mod hellinger;
mod jensen_shannon;
mod kullback_leibler;
mod l_infinity;
mod psi;
mod wasserstein;

pub use chi_square::chi_square;
pub use hellinger::hellinger;
pub use jensen_shannon::jensen_shannon;
pub use kullback_leibler::kullback_leibler;
pub use l_infinity::{l_infinity, l_infinity_ordered};
pub use psi::psi;
pub use wasserstein::{total_variation, wasserstein_ordered};

/// Counts by bin as shares of their sum, or `None` if the sum is 0.
///
/// ```
/// use tidemill_stats::statistic::shares;
///
/// assert_eq!(shares(&[1, 3]), Some(vec![0.25, 0.75]));
/// assert_eq!(shares(&[]), None);
/// ```
pub fn shares(counts: &[u64]) -> Option<Vec<f64>> {
    shares_of_sums(&counts.iter().map(|count| *count as f64).collect::<Vec<_>>())
}

/// [`shares`] of counts that were summed as floats.
pub(crate) fn shares_of_sums(sums: &[f64]) -> Option<Vec<f64>> {
    let total: f64 = sums.iter().sum();
    (total > 0.0).then(|| sums.iter().map(|sum| sum / total).collect())
}
