//! Durations in order.

use std::time::Duration;

/// The duration that this share of all is at most; zero of none. Sorts.
pub(crate) fn quantile(durations: &mut [Duration], share: f64) -> Duration {
    durations.sort_unstable();
    let last = durations.len().saturating_sub(1);
    durations.get((share * last as f64).round() as usize).copied().unwrap_or_default()
}

/// In milliseconds.
pub(crate) fn to_millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// In microseconds.
pub(crate) fn to_micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
