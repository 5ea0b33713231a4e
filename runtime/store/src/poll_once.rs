//! The store for components that may block: whatever a future waits for, it has waited for when it is polled once.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tidemill_core::{Digest, Error, ObjectMeta, Objects, PutResult, Result};

use crate::Store;

/// The output of a future of this store.
pub fn ready<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::bug("the store waits for a task that does not run")),
    }
}

impl Store {
    /// The same store, for synchronous callers.
    pub fn blocking(&self) -> BlockingStore {
        BlockingStore(self.clone())
    }
}

/// The same store, for synchronous callers.
#[derive(Clone, Debug)]
pub struct BlockingStore(Store);

impl Objects for BlockingStore {
    fn get(&self, key: &str) -> Result<Vec<u8>> {
        ready(self.0.get(key)).map(Vec::from)
    }
    fn get_at_most(&self, key: &str, limit: u64) -> Result<Vec<u8>> {
        ready(self.0.get_at_most(key, limit)).map(Vec::from)
    }
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Vec<u8>> {
        ready(self.0.get_range(key, offset, length)).map(Vec::from)
    }
    fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        ready(self.0.head(key))
    }
    fn create(&self, key: &str, bytes: &[u8]) -> Result<PutResult> {
        ready(self.0.create(key, Bytes::copy_from_slice(bytes)))
    }
    fn swap(&self, key: &str, expected: Option<&Digest>, bytes: &[u8]) -> Result<PutResult> {
        ready(self.0.swap(key, expected, Bytes::copy_from_slice(bytes)))
    }
    fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<ObjectMeta>> {
        ready(self.0.list(prefix, after, usize::try_from(limit).unwrap_or(usize::MAX)))
    }
}
