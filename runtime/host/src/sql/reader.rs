//! A query's result, with the files that it is read from.

use std::sync::Arc;

use tidemill_core::Result;

use super::{
    cache::{CacheEntry, CachedFile},
    job::RowStream,
};

/// A query's result: Arrow IPC streams, in order. It owns its data, so it can be kept beside its host.
pub struct SqlReader {
    /// `None` once all is read: what the query held is free then.
    rows: Option<RowStream>,
    objects: Vec<Arc<CachedFile>>,
    // Files that were derived from the objects.
    _files: Vec<Arc<CacheEntry>>,
}

impl std::fmt::Debug for SqlReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlReader")
            .field("is_done", &self.rows.is_none())
            .finish_non_exhaustive()
    }
}

impl SqlReader {
    pub(super) fn new(rows: RowStream, objects: Vec<Arc<CachedFile>>, files: Vec<Arc<CacheEntry>>) -> Self {
        Self {
            rows: Some(rows),
            objects,
            _files: files,
        }
    }
}

impl Iterator for SqlReader {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.rows.as_mut()?.next();
        if !matches!(item, Some(Ok(_))) {
            self.rows = None;
        }
        let is_changed = || self.objects.iter().try_for_each(|object| object.verify());
        item.or_else(|| is_changed().err().map(Err))
    }
}
