//! Waiting: by tokio, or by WASI's clock in a component, where no runtime of tokio's turns.

#[cfg(not(target_family = "wasm"))]
pub(crate) use tokio::time::{sleep, timeout};

#[cfg(target_family = "wasm")]
mod wasi {
    use std::{future::Future, pin::pin, time::Duration};

    use futures::future::{Either, select};
    use spin_sdk::wasip3::clocks::monotonic_clock;

    pub(crate) async fn sleep(time: Duration) {
        monotonic_clock::wait_for(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).await;
    }

    /// The time is over.
    pub(crate) struct Elapsed;

    pub(crate) async fn timeout<T>(time: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        match select(pin!(work), pin!(sleep(time))).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(_) => Err(Elapsed),
        }
    }
}
#[cfg(target_family = "wasm")]
pub(crate) use wasi::{sleep, timeout};
