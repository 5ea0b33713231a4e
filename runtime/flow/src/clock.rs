//! The clock of a flow. A wall clock may be set back, and what waits would wait for it; a monotonic clock stands still while the machine
//! sleeps. This one does neither: it goes on while the process lives, and follows a wall clock that is ahead of it.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use parking_lot::Mutex;

/// The last answer, and when it was given.
struct Clock {
    last: i64,
    at: Instant,
}

impl Clock {
    fn advance(&mut self, wall: i64, elapsed: Duration) -> i64 {
        let elapsed = i64::try_from(elapsed.as_millis()).unwrap_or(0);
        self.last = self.last.saturating_add(elapsed).max(wall);
        self.last
    }
}

/// Unix milliseconds.
pub(crate) fn now() -> i64 {
    static CLOCK: LazyLock<Mutex<Clock>> = LazyLock::new(|| {
        let (last, at) = (Timestamp::now().as_millisecond(), Instant::now());
        Mutex::new(Clock { last, at })
    });
    let mut clock = CLOCK.lock();
    let elapsed = clock.at.elapsed();
    // What is less than a millisecond is counted the next time.
    clock.at += Duration::from_millis(elapsed.as_millis().try_into().unwrap_or(0));
    clock.advance(Timestamp::now().as_millisecond(), elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_whatever_the_wall_clock_does() {
        let second = Duration::from_secs(1);
        let mut clock = Clock {
            last: 10_000,
            at: Instant::now(),
        };
        assert_eq!(clock.advance(11_000, second), 11_000);
        assert_eq!(clock.advance(3_000, second), 12_000, "it was set back");
        assert_eq!(clock.advance(4_000, Duration::ZERO), 12_000);
        assert_eq!(clock.advance(90_000, second), 90_000, "the machine slept");
        assert!(now() <= now());
    }
}
