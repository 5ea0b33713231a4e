//! Which store this is, and the one process that works on it.
//!
//! A folder has an id that stays with it when it is moved or mounted elsewhere; a bucket is known by its address.

use std::{
    fs::File,
    hash::{BuildHasher as _, RandomState},
    time::SystemTime,
};

use tidemill_core::{Digest, Error, Result};

use crate::{Backend, Store, key::RESERVED_DIR};

/// Held by the process that works on a store, until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when it is dropped"]
pub struct StoreLock {
    _file: File,
}

impl Store {
    /// A short name of the store. A folder gets one the first time.
    ///
    /// # Errors
    /// What the folder's file system says.
    pub fn identity(&self) -> Result<String> {
        match &*self.backend {
            Backend::Local(local) => {
                let key = format!("{RESERVED_DIR}/id");
                local.create(&key, new_id().as_bytes())?;
                let id = local.get(&key, 64)?;
                let id = String::from_utf8(id).ok().filter(|id| is_id(id));
                id.ok_or_else(|| {
                    Error::config(format!(
                        "`{}` is not the id of a store: remove it, and the next start makes one",
                        local.path(&key).display()
                    ))
                })
            }
            Backend::Remote(remote) => {
                let endpoint = remote.endpoint();
                let place = endpoint.bucket.as_ref().map(|bucket| bucket.location()).unwrap_or_default();
                Ok(short(&format!("{} {place}", endpoint.server)))
            }
        }
    }

    /// Locks a folder for one process that closes windows and runs stages; `None` for a bucket, which has no lock.
    ///
    /// # Errors
    /// `Config` if another process holds the lock.
    pub fn lock(&self) -> Result<Option<StoreLock>> {
        match &*self.backend {
            Backend::Local(local) => local.try_lock("up").map(|file| file.map(|file| StoreLock { _file: file })),
            Backend::Remote(_) => Ok(None),
        }
    }

    /// Checks that the store never overwrites what it was told to create, and never replaces what has changed.
    ///
    /// # Errors
    /// `Config` if it does: data would be lost there. What the store answers, if it cannot be tried.
    pub async fn check_conditional_writes(&self) -> Result<()> {
        match &*self.backend {
            // A folder's are made here.
            Backend::Local(_) => Ok(()),
            Backend::Remote(remote) => remote.check_conditional_writes(&format!("{RESERVED_DIR}/probe-{}", new_id())).await,
        }
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Unique enough: from the time, the process and the randomness of hash maps.
fn new_id() -> String {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    short(&format!(
        "{} {} {}",
        time.as_nanos(),
        std::process::id(),
        RandomState::new().hash_one(0)
    ))
}

fn short(text: &str) -> String {
    Digest::sha256(text.as_bytes()).as_str()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use futures::stream::BoxStream;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
        PutPayload, PutResult, memory::InMemory, path::Path,
    };
    use tidemill_core::ErrorKind;

    use super::*;

    #[test]
    fn a_folder_keeps_its_id_where_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        let id = Store::local(&here).unwrap().identity().unwrap();
        assert_eq!(Store::local(&here).unwrap().identity().unwrap(), id);
        std::fs::rename(&here, &there).unwrap();
        assert_eq!(Store::local(&there).unwrap().identity().unwrap(), id);
        assert_ne!(Store::local(&here).unwrap().identity().unwrap(), id, "another store in its place");
        std::fs::write(there.join(RESERVED_DIR).join("id"), "x").unwrap();
        let error = Store::local(&there).unwrap().identity().unwrap_err();
        assert!(error.message.contains("is not the id of a store"), "{error}");
    }

    #[test]
    fn one_process_works_on_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Store::local(folder.path()).unwrap().lock().unwrap();
        let error = Store::local(folder.path()).unwrap().lock().unwrap_err();
        assert!(error.message.contains("another `tidemill up`"), "{error}");
        drop(lock);
        assert!(Store::local(folder.path()).unwrap().lock().unwrap().is_some());
        assert!(Store::memory().lock().unwrap().is_none());
    }

    /// A server that does not know conditions.
    #[derive(Debug)]
    struct Unconditional {
        inner: InMemory,
        ignores_create: bool,
    }

    impl std::fmt::Display for Unconditional {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a server without conditions")
        }
    }

    type Answer<T> = object_store::Result<T>;

    #[async_trait]
    impl ObjectStore for Unconditional {
        async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Answer<PutResult> {
            let is_ignored = match options.mode {
                PutMode::Create => self.ignores_create,
                PutMode::Update(_) => !self.ignores_create,
                PutMode::Overwrite => false,
            };
            if is_ignored {
                options.mode = PutMode::Overwrite;
            }
            self.inner.put_opts(location, payload, options).await
        }
        async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Answer<Box<dyn MultipartUpload>> {
            self.inner.put_multipart_opts(location, options).await
        }
        async fn get_opts(&self, location: &Path, options: GetOptions) -> Answer<GetResult> {
            self.inner.get_opts(location, options).await
        }
        fn delete_stream(&self, locations: BoxStream<'static, Answer<Path>>) -> BoxStream<'static, Answer<Path>> {
            self.inner.delete_stream(locations)
        }
        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Answer<ObjectMeta>> {
            self.inner.list(prefix)
        }
        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Answer<ListResult> {
            self.inner.list_with_delimiter(prefix).await
        }
        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Answer<()> {
            self.inner.copy_opts(from, to, options).await
        }
    }

    #[tokio::test]
    async fn a_store_whose_conditions_do_not_hold_is_refused() {
        Store::memory().check_conditional_writes().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        Store::local(folder.path()).unwrap().check_conditional_writes().await.unwrap();
        for ignores_create in [true, false] {
            let inner = InMemory::new();
            let store = Store::from_object_store(Arc::new(Unconditional { inner, ignores_create }));
            let error = store.check_conditional_writes().await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "{error}");
            let header = if ignores_create { "`If-None-Match: *`" } else { "`If-Match`" };
            assert!(error.message.contains(header), "{error}");
        }
    }
}
