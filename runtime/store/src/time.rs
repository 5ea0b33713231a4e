//! Waiting: by tokio, or by WASI's clock in a component, where no runtime of tokio's turns; by blocking, where nothing else may be done.

#[cfg(not(target_family = "wasm"))]
pub(crate) use tokio::time::{sleep, timeout};

#[cfg(all(target_family = "wasm", feature = "blocking"))]
mod wasi {
    use std::{convert::Infallible, future::Future, time::Duration};

    pub(crate) async fn sleep(time: Duration) {
        std::thread::sleep(time);
    }

    /// What is waited for by blocking has its own limits.
    pub(crate) async fn timeout<T>(_: Duration, work: impl Future<Output = T>) -> Result<T, Infallible> {
        Ok(work.await)
    }
}
#[cfg(all(target_family = "wasm", not(feature = "blocking")))]
mod wasi {
    use std::{future::Future, pin::pin, time::Duration};

    use futures::future::{Either, select};
    use send_wrapper::SendWrapper;
    use spin_sdk::wasip3::clocks::monotonic_clock;

    /// A component has one thread, and `object_store` and `async_trait` want futures that may change threads.
    pub(crate) fn sleep(time: Duration) -> SendWrapper<impl Future<Output = ()>> {
        let wait = async move { monotonic_clock::wait_for(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).await };
        SendWrapper::new(wait)
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
