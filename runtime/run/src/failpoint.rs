//! Steps at which a crash test ends the process. They exist in debug builds with the feature `failpoints` alone: no release build, with
//! whatever features, reads the environment for them.
//!
//! `FAILPOINTS=after-commit=2*off->return` aborts when `after-commit` is passed for the third time. The steps are `queue-put`,
//! `before-run`, `after-run`, `before-commit`, `after-commit`, `after-route`, `window-log`, `window-create` and `ack`.

/// Marks a step at which a crash test may end the process.
#[macro_export]
macro_rules! failpoint {
    ($step:literal) => {
        #[cfg(all(feature = "failpoints", debug_assertions))]
        $crate::fail::fail_point!($step, |_| ::std::process::abort());
    };
}

/// Reads `FAILPOINTS`, once for each process.
#[cfg(feature = "failpoints")]
pub fn enable_failpoints() {
    #[cfg(debug_assertions)]
    {
        static ENABLED: std::sync::Once = std::sync::Once::new();
        ENABLED.call_once(|| std::mem::forget(fail::FailScenario::setup()));
    }
}
