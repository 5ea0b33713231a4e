//! Profiles of columns and the bins that follow from them, in SQL and in memory.
//!
//! - [`SqlProfile`] builds a [`Profile`](tidemill_core::record::Profile) by aggregates over rows that stay in the engine. `validate` uses
//!   it for data files.
//! - [`numeric_profile`] and [`categorical_profile`] build a column's profile from values in memory. `featurize` uses them for its
//!   features.
//! - [`Bins`] numbers the bins of a profiled column. `featurize` counts training blocks by these numbers and `monitor` counts predictions
//!   by them, so both must use it.

mod bins;
mod memory;
mod sql;

pub use bins::Bins;
pub use memory::{categorical_profile, numeric_profile};
pub use sql::{ProfileQuery, SqlProfile};

/// Maximum number of values that a categorical profile lists.
const MAX_CATEGORIES: usize = 200;
/// Quantiles are listed at multiples of 1 / `QUANTILE_STEPS`, both ends included.
const QUANTILE_STEPS: usize = 20;

/// The strictly ascending candidates above `minimum`: inner edges of a histogram. A value that many rows share becomes one edge.
fn inner_edges(candidates: impl IntoIterator<Item = f64>, minimum: f64) -> Vec<f64> {
    let mut edges: Vec<f64> = Vec::new();
    for edge in candidates {
        if edge > *edges.last().unwrap_or(&minimum) {
            edges.push(edge);
        }
    }
    edges
}
