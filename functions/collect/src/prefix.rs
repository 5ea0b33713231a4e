//! Files from another prefix of the store.

use tidemill_core::{Format, Host, Level, ObjectsExt, Result};

use crate::write_once;

/// Copies new files and returns the keys that were written.
pub(crate) fn collect_prefix(dataset: &str, prefix: &str, host: &dyn Host) -> Result<Vec<String>> {
    let prefix = format!("{}/", prefix.trim_end_matches('/'));
    let found = host.objects().list_all(&prefix)?;
    let mut written = Vec::new();
    for (n, meta) in found.iter().enumerate() {
        host.report_progress(n as f64 / found.len() as f64, &meta.key);
        let Some(format) = Format::from_key(&meta.key) else {
            host.log(
                Level::Warning,
                &format!("`{}` is left: it is no CSV, JSON lines or Parquet by its name", meta.key),
            );
            continue;
        };
        let ending = match format {
            Format::Csv => "csv",
            Format::JsonLines => "jsonl",
            Format::Parquet => "parquet",
        };
        written.extend(write_once(dataset, ending, &host.objects().get(&meta.key)?, host)?);
    }
    Ok(written)
}
