//! Statistics for drift and accuracy: pure functions over samples, counts and scores. Logarithms and the like come from `libm`,
//! not from the platform, so that a native build and a component give the same bytes.

pub mod metrics;

pub use metrics::*;
