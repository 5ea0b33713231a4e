//! A blocking interface to the store, for stages and SQL.

use std::{
    future::Future,
    path::PathBuf,
    pin::pin,
    sync::OnceLock,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tidemill_core::{Digest, Error, ObjectMeta, Objects, PutResult, Result};
use tokio::runtime::{Handle, Runtime};

use crate::{Backend, MAX_OBJECT_SIZE, Store, into_metas, key};

impl Store {
    /// A blocking interface to the same store. Never use it on a thread that drives a Tokio runtime.
    pub fn blocking(&self) -> BlockingStore {
        BlockingStore {
            store: self.clone(),
            handle: Handle::try_current().ok(),
        }
    }

    /// Like [`blocking`](Self::blocking), with the runtime that drives a remote store's connections.
    pub fn blocking_on(&self, handle: Handle) -> BlockingStore {
        BlockingStore {
            store: self.clone(),
            handle: Some(handle),
        }
    }
}

/// A [`Store`] for threads that may block.
#[derive(Clone, Debug)]
pub struct BlockingStore {
    store: Store,
    handle: Option<Handle>,
}

impl BlockingStore {
    /// The path of an object, if objects are files.
    pub fn file_path(&self, key: &str) -> Result<Option<PathBuf>> {
        key::validate(key)?;
        match &*self.store.backend {
            Backend::Local(local) => Ok(Some(local.path(key))),
            Backend::Remote(_) => Ok(None),
        }
    }

    /// Copies an object of a remote store into a file.
    pub fn download(&self, key: &str, file: &mut std::fs::File) -> Result<()> {
        match &*self.store.backend {
            Backend::Remote(remote) => self.wait(remote.copy_to(key, file)).map(drop),
            Backend::Local(_) => Err(Error::bug("a local store was taken for a remote one")),
        }
    }

    /// Local files are read on this thread; a remote store's future is polled once (memory is done then), then waited for.
    fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        let handle = self.handle.clone().map_or_else(fallback_runtime, Ok)?;
        let guard = handle.enter();
        let mut future = pin!(future);
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
        drop(guard);
        handle.block_on(future)
    }
}

impl Objects for BlockingStore {
    fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.get_at_most(key, MAX_OBJECT_SIZE)
    }
    fn get_at_most(&self, key: &str, limit: u64) -> Result<Vec<u8>> {
        key::validate(key)?;
        match &*self.store.backend {
            Backend::Local(local) => local.get(key, limit),
            Backend::Remote(remote) => self.wait(remote.get(key, limit)).map(Vec::from),
        }
    }
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Vec<u8>> {
        key::validate(key)?;
        match &*self.store.backend {
            Backend::Local(local) => local.get_range(key, offset, length),
            Backend::Remote(remote) => self.wait(remote.get_range(key, offset, length)).map(Vec::from),
        }
    }
    fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        key::validate(key)?;
        match &*self.store.backend {
            Backend::Local(local) => local.head(key),
            Backend::Remote(remote) => self.wait(remote.head(key)),
        }
    }
    fn digest(&self, key: &str) -> Result<Digest> {
        key::validate(key)?;
        match &*self.store.backend {
            Backend::Local(local) => local.digest(key).map(|(digest, _)| digest),
            Backend::Remote(remote) => self.wait(remote.copy_to(key, &mut std::io::sink())).map(|of| of.digest),
        }
    }
    fn create(&self, key: &str, bytes: &[u8]) -> Result<PutResult> {
        key::validate(key)?;
        match &*self.store.backend {
            Backend::Local(local) => local.create(key, bytes),
            Backend::Remote(remote) => self.wait(remote.create(key, Bytes::copy_from_slice(bytes))),
        }
    }
    fn swap(&self, key: &str, expected: Option<&Digest>, bytes: &[u8]) -> Result<PutResult> {
        key::validate(key)?;
        match &*self.store.backend {
            Backend::Local(local) => local.swap(key, expected, bytes),
            Backend::Remote(remote) => self.wait(remote.swap(key, expected, Bytes::copy_from_slice(bytes))),
        }
    }
    fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<ObjectMeta>> {
        let prefix = key::normalize_prefix(prefix)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        match &*self.store.backend {
            Backend::Local(local) => local.list(&prefix, after, limit),
            Backend::Remote(remote) => self.wait(remote.list(&prefix, after, limit)).map(into_metas),
        }
    }
}

/// For threads that no runtime started.
fn fallback_runtime() -> Result<Handle> {
    static OWN: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let own = OWN.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build());
    match own {
        Ok(runtime) => Ok(runtime.handle().clone()),
        Err(e) => Err(Error::transient(format!("no thread could be started for the object store: {e}"))),
    }
}
