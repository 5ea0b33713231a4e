//! The epoch: how long-running guests are interrupted. One thread advances it for every engine of the process; a guest looks at the
//! clock when its deadline in ticks is over, so a late tick delays a timeout and never brings one early.

use std::{
    sync::{Mutex, Once, PoisonError},
    time::Duration,
};

use wasmtime::EngineWeak;

/// Time between two ticks.
pub(crate) const EPOCH_INTERVAL: Duration = Duration::from_millis(10);

/// A time in ticks, at least one.
pub fn to_ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / EPOCH_INTERVAL.as_millis())
        .unwrap_or(u64::MAX / 2)
        .max(1)
}

/// Advances an engine's epoch for as long as the engine lives. A thread and not a task: a guest that loops must not starve it.
pub fn register(engine: &wasmtime::Engine) {
    static ENGINES: Mutex<Vec<EngineWeak>> = Mutex::new(Vec::new());
    static TICKER: Once = Once::new();
    ENGINES.lock().unwrap_or_else(PoisonError::into_inner).push(engine.weak());
    TICKER.call_once(|| {
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(EPOCH_INTERVAL);
                let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
                engines.retain(|weak| weak.upgrade().inspect(wasmtime::Engine::increment_epoch).is_some());
            }
        });
    });
}
