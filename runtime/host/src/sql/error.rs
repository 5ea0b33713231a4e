//! Conversion of DuckDB's errors, with the object's key where DuckDB names a file of the cache.
//!
//! DuckDB's C interface returns an error as text, without a code. All decisions based on such text are in this file.

use std::time::Duration;

use tidemill_core::{Error, ErrorKind};

use super::{functions, job::SourceFile};

/// The prefixes of DuckDB's messages, and the kind of each.
const KINDS: [(&str, ErrorKind); 16] = [
    ("Parser Error", ErrorKind::Config),
    ("Binder Error", ErrorKind::Config),
    ("Catalog Error", ErrorKind::Config),
    ("Permission Error", ErrorKind::Denied),
    ("Out of Memory Error", ErrorKind::Limit),
    ("std::bad_alloc", ErrorKind::Limit),
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
pub(super) fn from_duckdb(error: &duckdb::Error, sources: &[SourceFile]) -> Error {
    let mut message = match error {
        duckdb::Error::DuckDBFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    let named = sources.iter().find(|source| message.contains(&*source.path.to_string_lossy()));
    for source in sources {
        message = message.replace(&*source.path.to_string_lossy(), &source.key);
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
    if let Some(message) = functions::refusal_of_call(&first).or_else(|| depth_message(&first)) {
        return Error::config(message);
    }
    if is_damaged(&first) {
        let key = named.or(sources.first()).map_or("an object", |source| &source.key);
        return Error::input(format!(
            "`{key}` is not a whole Parquet file ({first}); it may be cut short or of another format: write it again and put it under a new key"
        ));
    }
    if first.contains("state machine reached an invalid state") {
        let key = named.or(sources.first()).map_or("a CSV", |source| &source.key);
        return Error::input(format!(
            "`{key}` cannot be cut into lines: its line ends are of several kinds (LF, CR LF, or a CR alone, perhaps inside a value); \
             save it with one kind, for example with `dos2unix`, under a new key"
        ));
    }
    match kind {
        ErrorKind::Limit if first.contains("emory") || first.contains("bad_alloc") => Error::limit(format!(
            "a query needs more memory than its budget ({first}); give it more memory where the target has such a setting, or read fewer rows or columns at a time"
        )),
        ErrorKind::Transient if first.contains("No space left") => Error::transient(format!(
            "a query found the disk of the cache full ({first}); make room, it is tried again"
        )),
        kind => Error::new(kind, format!("a query failed: {first}")),
    }
}

/// A query was ended at its time limit.
pub(super) fn timeout_error(timeout: Duration) -> Error {
    Error::timeout(format!(
        "a query took longer than its {} seconds; raise the timeout of the stage, or read less at a time",
        timeout.as_secs_f64()
    ))
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

/// What to say instead of DuckDB's message that an expression is nested too deeply.
pub(super) fn depth_message(message: &str) -> Option<String> {
    let is_meant = message.contains("Max expression depth limit");
    is_meant.then(|| "a query nests expressions more than 1000 levels deep: name parts of it in a `WITH`, or sum a list".to_owned())
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
