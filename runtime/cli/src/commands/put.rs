//! `tidemill put`: files into `raw/<dataset>/` under their own names. A running flow takes them in; so does the next one.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tidemill_core::{Digest, Error, Format, PutResult as Stored};
use tidemill_host::Store;

use crate::{
    output::{Output, table},
    project::{Project, read_error},
};

/// Brings files into a dataset.
#[derive(Args)]
pub(crate) struct Put {
    /// The dataset.
    dataset: String,
    /// CSV, JSON lines or Parquet.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

#[derive(Serialize)]
pub(crate) struct StoredFile {
    pub(crate) key: String,
    pub(crate) size: usize,
    pub(crate) new: bool,
}

impl Put {
    pub(crate) async fn run(&self, project: &Project, output: Output) -> anyhow::Result<()> {
        require_dataset(project, &self.dataset)?;
        let store = project.open_store()?;
        // All or none: what is wrong with the last one is said before the first is placed.
        let names = self.files.iter().map(|path| file_name(path)).collect::<Result<Vec<_>, _>>()?;
        for path in &self.files {
            std::fs::File::open(path)
                .and_then(|file| file.metadata())
                .map_err(|e| read_error(path, &e))?;
        }
        let mut placed = Vec::new();
        for (path, name) in self.files.iter().zip(names) {
            let bytes = std::fs::read(path).map_err(|e| read_error(path, &e))?;
            placed.push(store_file(&store, &self.dataset, &name, bytes).await?);
        }
        output.print(&placed, |placed| {
            let row = |p: &StoredFile| vec![p.key.clone(), p.size.to_string(), if p.new { "new" } else { "was there" }.into()];
            table(&["object", "bytes", ""], placed.iter().map(row).collect(), "nothing to put")
        })
    }
}

/// Refuses a dataset that the project does not have.
pub(crate) fn require_dataset(project: &Project, dataset: &str) -> tidemill_core::Result<()> {
    if project.pipeline.datasets.contains_key(dataset) {
        return Ok(());
    }
    let names: Vec<String> = project.pipeline.datasets.keys().map(|name| format!("`{name}`")).collect();
    Err(Error::not_found(format!(
        "there is no dataset `{dataset}`; there is {}",
        if names.is_empty() { "none".into() } else { names.join(", ") }
    )))
}

fn file_name(path: &Path) -> tidemill_core::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if Format::from_key(name).is_none() {
        return Err(Error::input(format!(
            "`{}` ends in none of `.csv`, `.jsonl`, `.ndjson`, `.parquet`: rename it to what it is",
            path.display()
        )));
    }
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    Ok(name
        .trim_start_matches('.')
        .chars()
        .map(|c| if good(c) { c } else { '_' })
        .collect())
}

/// Writes to `raw/<dataset>/<name>`; where other content has that name, the digest is added to it.
pub(crate) async fn store_file(store: &Store, dataset: &str, name: &str, bytes: Vec<u8>) -> tidemill_core::Result<StoredFile> {
    let size = bytes.len();
    let digest = Digest::sha256(&bytes);
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let names = [name.to_owned(), format!("{stem}-{}.{ending}", digest.short())];
    for name in names {
        let key = format!("raw/{dataset}/{name}");
        match store.create(&key, bytes.clone().into()).await? {
            Stored::Conflict => {}
            done => {
                return Ok(StoredFile {
                    key,
                    size,
                    new: done == Stored::Written,
                });
            }
        }
    }
    Err(Error::conflict(format!("`raw/{dataset}/{name}` exists with other content")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn different_content_gets_another_name() {
        let store = Store::memory();
        assert!(store_file(&store, "d", "a.csv", b"x".to_vec()).await.unwrap().new);
        assert!(!store_file(&store, "d", "a.csv", b"x".to_vec()).await.unwrap().new);
        let other = store_file(&store, "d", "a.csv", b"y".to_vec()).await.unwrap();
        assert!(
            other.new && other.key.starts_with("raw/d/a-") && other.key.ends_with(".csv"),
            "{}",
            other.key
        );
        assert!(file_name(Path::new("x.xlsx")).unwrap_err().message.contains("`x.xlsx`"));
        assert_eq!(file_name(Path::new("/tmp/my file.csv")).unwrap(), "my_file.csv");
    }
}
