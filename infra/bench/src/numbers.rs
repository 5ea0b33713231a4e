//! Quantiles and units of durations.

use std::time::Duration;

/// A quantile of durations, which are sorted in place; zero if there are none.
pub(crate) fn quantile(durations: &mut [Duration], share: f64) -> Duration {
    durations.sort_unstable();
    let last = durations.len().saturating_sub(1);
    durations.get((share * last as f64).round() as usize).copied().unwrap_or_default()
}

/// Converts to milliseconds.
pub(crate) fn to_millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Converts to microseconds.
pub(crate) fn to_micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
