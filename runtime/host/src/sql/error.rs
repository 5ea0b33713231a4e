//! Conversion of DuckDB's errors, with the object's key where DuckDB names a file of the cache.
//!
//! DuckDB's C interface returns an error as text, without a code. All decisions based on such text are in this file.

use std::sync::Arc;

use tidemill_core::{Error, ErrorKind};

use super::cache::CachedFile;

/// The prefixes of DuckDB's messages, and the kind of each.
const KINDS: [(&str, ErrorKind); 15] = [
    ("Parser Error", ErrorKind::Config),
    ("Binder Error", ErrorKind::Config),
    ("Catalog Error", ErrorKind::Config),
    ("Permission Error", ErrorKind::Denied),
    ("Out of Memory Error", ErrorKind::Limit),
    ("OutOfMemory", ErrorKind::Limit),
    ("INTERRUPT Error", ErrorKind::Timeout),
    ("Interrupt Error", ErrorKind::Timeout),
    ("Conversion Error", ErrorKind::Input),
    ("Invalid Input Error", ErrorKind::Input),
    ("Out of Range Error", ErrorKind::Input),
    ("IO Error", ErrorKind::Transient),
    ("INTERNAL Error", ErrorKind::Bug),
    ("Not implemented Error", ErrorKind::Config),
    ("Constraint Error", ErrorKind::Input),
];

/// Converts the error of a failed query over these files.
pub(super) fn from_duckdb(error: &duckdb::Error, placed: &[Arc<CachedFile>]) -> Error {
    let mut message = match error {
        duckdb::Error::DuckDBFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    let named = placed.iter().find(|placed| message.contains(&*placed.path().to_string_lossy()));
    for placed in placed {
        message = message.replace(&*placed.path().to_string_lossy(), &placed.key);
    }
    // Anything after the first paragraph is the query with a caret, or advice about DuckDB's own settings.
    let first = message
        .split("\n\n")
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let kind = KINDS
        .iter()
        .find(|(word, _)| first.starts_with(word))
        .map_or(ErrorKind::Input, |(_, kind)| *kind);
    if is_damaged(&first) {
        let key = named.map_or_else(|| placed.first().map_or("an object", |placed| &placed.key), |placed| &placed.key);
        return Error::input(format!(
            "`{key}` is not a whole Parquet file ({first}); it may be cut short or of another format: write it again and put it under a new key"
        ));
    }
    if first.contains("state machine reached an invalid state") {
        let key = named.or(placed.first()).map_or("a CSV", |placed| &placed.key);
        return Error::input(format!(
            "`{key}` cannot be cut into lines: its line ends are of several kinds (LF, CR LF, or a CR alone, perhaps inside a value); \
             save it with one kind, for example with `dos2unix`, under a new key"
        ));
    }
    match kind {
        ErrorKind::Limit if first.contains("emory") => Error::limit(format!(
            "a query needs more memory than its budget ({first}); raise the memory of the stage, or read fewer columns at a time"
        )),
        ErrorKind::Transient if first.contains("No space left") => Error::transient(format!(
            "a query found the disk of the cache full ({first}); make room, it is tried again"
        )),
        kind => Error::new(kind, format!("a query failed: {first}")),
    }
}

/// The line that a message marks, from 1, and the text of that line from the mark on, as far as the message shows it.
pub(super) fn marked_place(message: &str) -> Option<(usize, &str)> {
    let (_, quoted) = message.rsplit_once("\nLINE ")?;
    let (line, below) = quoted.split_once('\n')?;
    let (number, _) = line.split_once(": ")?;
    let column = below.find('^')?.checked_sub("LINE ".len())?;
    let rest = line.get(column..)?.trim_end_matches("...");
    Some((number.parse().ok()?, rest))
}

/// Whether DuckDB's parser refused a statement because it is not a SELECT. `error_type` and `error_message` come from its JSON.
pub(super) fn is_not_select(error_type: &str, error_message: &str) -> bool {
    error_type == "not implemented" || error_message.contains("Only SELECT")
}

fn is_damaged(message: &str) -> bool {
    [
        "magic bytes",
        "too small to be a Parquet",
        "Parquet file",
        "footer",
        "TProtocolException",
        "Snappy",
        "ZSTD",
        "parquet page",
    ]
    .iter()
    .any(|sign| message.contains(sign))
        && !message.contains("Binder Error")
        && !message.contains("Column")
}
