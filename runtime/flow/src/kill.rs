//! Places where a crash test ends the process. Unset, a passing costs one atomic load.
//!
//! `TIDEMILL_KILL_AT=after-commit:3` aborts at the third passing of `after-commit`. The steps are `queue-put`, `before-run`, `after-run`,
//! `before-commit`, `after-commit`, `after-route`, `window-log`, `window-create` and `ack`.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

struct Point {
    step: String,
    left: AtomicU64,
}

static POINT: OnceLock<Option<Point>> = OnceLock::new();

/// Says that `step` is passed; does not return where the process is to be killed.
pub fn pass(step: &str) {
    let Some(point) = POINT.get_or_init(|| std::env::var("TIDEMILL_KILL_AT").ok().and_then(|text| parse(&text))) else {
        return;
    };
    if point.step == step && point.left.fetch_sub(1, Ordering::SeqCst) == 1 {
        std::process::abort();
    }
}

fn parse(text: &str) -> Option<Point> {
    let (step, times) = text.rsplit_once(':').unwrap_or((text, "1"));
    let left = times.parse().ok().filter(|n| *n > 0)?;
    Some(Point {
        step: step.to_owned(),
        left: AtomicU64::new(left),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_step_and_the_count() {
        let point = parse("after-commit:3").unwrap();
        assert_eq!((point.step.as_str(), point.left.into_inner()), ("after-commit", 3));
        assert!(parse("ack:0").is_none() && parse("ack:x").is_none());
        pass("ack"); // unset: nothing happens
    }
}
