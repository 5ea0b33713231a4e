//! One line of progress per step. Lines go to standard error, so that a command's own output stays clean.

use std::time::Instant;

use anyhow::Result;

/// Does a step and says how it went: `✓ what: result (1.2 s)`.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<(T, String)>) -> Result<T> {
    let start = Instant::now();
    let (value, said) = work()?;
    eprintln!("✓ {what}: {said} ({:.1} s)", start.elapsed().as_secs_f64());
    Ok(value)
}

/// Says that something long begins, or that something optional is not there.
pub(crate) fn note(text: &str) {
    eprintln!("· {text}");
}
