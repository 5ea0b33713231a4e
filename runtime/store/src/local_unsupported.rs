//! In the place of `local` in a component, which has no folder that could hold objects: locks across processes are not to be had there.

use std::path::Path;

use tidemill_core::{Digest, Error, ObjectMeta, PutResult, Result};

/// There is none.
#[derive(Debug)]
pub(super) enum Local {}

impl Local {
    pub(super) fn open(root: &Path) -> Result<Self> {
        Err(Error::config(format!(
            "`{}` is not where a component can keep objects; name a bucket, `s3://bucket/prefix`",
            root.display()
        )))
    }
}

macro_rules! never {
    ($($name:ident($($argument:ty),*) -> $answer:ty;)*) => {
        impl Local {
            $(pub(super) fn $name(&self, $(_: $argument),*) -> $answer { match *self {} })*
        }
    };
}

never! {
    root() -> &Path;
    get(&str, u64) -> Result<Vec<u8>>;
    digest(&str) -> Result<(Digest, u64)>;
    get_range(&str, u64, u64) -> Result<Vec<u8>>;
    head(&str) -> Result<Option<ObjectMeta>>;
    create(&str, &[u8]) -> Result<PutResult>;
    swap(&str, Option<&Digest>, &[u8]) -> Result<PutResult>;
    replace(&str, &[u8]) -> Result<()>;
    delete(&str) -> Result<()>;
    list(&str, Option<&str>, usize) -> Result<Vec<ObjectMeta>>;
}
