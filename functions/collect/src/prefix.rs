//! Files from another prefix of the store.

use tidemill_core::{
    Format, Host, Level, ObjectsExt, Result,
    layout::{self, is_ignored},
};

use crate::write_once;

/// Copies new files and returns the keys that were written.
pub(crate) fn collect_prefix(dataset: &str, prefix: &str, host: &dyn Host) -> Result<Vec<String>> {
    let prefix = format!("{}/", prefix.trim_end_matches('/'));
    let found = host.objects().list_all(&prefix)?;
    let (mut written, mut hidden) = (Vec::new(), 0);
    for (n, meta) in found.iter().enumerate() {
        host.report_progress(n as f64 / found.len() as f64, &meta.key);
        if is_ignored(&layout::raw(dataset, &meta.key[prefix.len()..])) {
            hidden += 1;
            continue;
        }
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
    if hidden > 0 {
        host.log(
            Level::Info,
            &format!("{hidden} objects under `{prefix}` are hidden or not finished by their names"),
        );
    }
    Ok(written)
}
