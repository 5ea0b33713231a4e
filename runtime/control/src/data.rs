//! Stores data files of a dataset under `raw/<dataset>/`. A running flow validates them; so does the next one.

use std::{iter, path::Path};

use bytes::Bytes;
use serde::Serialize;
use tidemill_core::{Digest, Error, Format, PutResult, Result, ingest::check_dataset, layout, record::AuditAction};

use crate::{Change, Control, Entry, Principal};

/// A request to store a data file.
#[derive(Debug, Clone)]
pub struct PutData {
    /// The dataset.
    pub dataset: String,
    /// The file's name, from [`data_file_name`].
    pub name: String,
    /// CSV, JSON lines or Parquet, as the name's ending says.
    pub bytes: Bytes,
}

/// A data file in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredFile {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: usize,
    /// Whether it was written now; `false` if the same bytes were there.
    pub new: bool,
}

impl Control {
    /// Stores a data file as `raw/<dataset>/<name>`, with a digest in its name where that name has other content.
    pub async fn put_data(&self, principal: &Principal, request: PutData) -> Result<StoredFile> {
        let entry = Entry {
            principal,
            action: AuditAction::PutData,
            resource: format!("datasets/{}", request.dataset),
            reason: None,
        };
        self.perform(entry, self.store_file(&request)).await
    }

    async fn store_file(&self, request: &PutData) -> Result<Change<StoredFile>> {
        let PutData { dataset, name, bytes } = request;
        check_dataset(dataset, self.pipeline.datasets.keys().map(String::as_str))?;
        let name = data_file_name(Path::new(name))?;
        let (stem, extension) = name.rsplit_once('.').unwrap_or((&name, ""));
        let with_digest = || format!("{stem}-{}.{extension}", Digest::sha256(bytes).short());
        for name in iter::once_with(|| name.clone()).chain(iter::once_with(with_digest)) {
            let key = layout::raw(dataset, &name);
            let put = self.store.create(&key, bytes.clone()).await?;
            let stored = StoredFile {
                key,
                size: bytes.len(),
                new: put == PutResult::Written,
            };
            match put {
                PutResult::Conflict => {}
                PutResult::Unchanged => return Ok(Change::none(stored)),
                PutResult::Written => return Ok(Change::new(stored.clone(), &None::<()>, &stored)),
            }
        }
        Err(Error::conflict(format!("`raw/{dataset}/{name}` exists with other content")))
    }
}

/// The name that a file has in the store. Characters that a key should not hold become `_`; `Input` if the ending is no known format.
///
/// ```
/// use std::path::Path;
/// use tidemill_control::data_file_name;
///
/// assert_eq!(data_file_name(Path::new("/tmp/my file.csv")).unwrap(), "my_file.csv");
/// assert_eq!(data_file_name(Path::new("_may.csv")).unwrap(), "may.csv");
/// assert!(data_file_name(Path::new("notes.xlsx")).is_err());
/// ```
pub fn data_file_name(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if Format::from_key(name).is_none() {
        return Err(Error::input(format!(
            "`{}` ends in none of `.csv`, `.jsonl`, `.ndjson`, `.parquet`: rename it to what it is",
            path.display()
        )));
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = name.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
    // What begins so is passed over: see `is_ignored`.
    Ok(name.trim_start_matches(['.', '_']).to_owned())
}
