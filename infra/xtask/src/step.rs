//! One line of progress for each step, and a table of all steps. Both go to standard error, so that a command's own output stays clean.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;

/// Name and duration of the steps so far.
static FINISHED: Mutex<Vec<(String, Duration)>> = Mutex::new(Vec::new());

/// Runs a step and prints its result: `✓ name: result (1.2 s)`.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<(T, String)>) -> Result<T> {
    let start = Instant::now();
    let (value, result) = work()?;
    let took = start.elapsed();
    eprintln!("✓ {name}: {result} ({:.1} s)", took.as_secs_f64());
    let mut finished = FINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    finished.push((name.to_owned(), took));
    Ok(value)
}

/// Prints a remark, such as that something optional is missing.
pub(crate) fn note(text: &str) {
    eprintln!("· {text}");
}

/// Prints what the steps so far took. Steps that run concurrently overlap, so their sum may exceed the total.
pub(crate) fn print_table(since: Instant) {
    let finished = FINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    eprintln!("\nsteps so far, in minutes:");
    for (name, took) in finished.iter().filter(|(_, took)| took.as_secs() > 0) {
        eprintln!("  {:>5.1}  {name}", minutes(*took));
    }
    eprintln!("  {:>5.1}  in all\n", minutes(since.elapsed()));
}

fn minutes(time: Duration) -> f64 {
    time.as_secs_f64() / 60.0
}
