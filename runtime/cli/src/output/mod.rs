//! The output of commands: text or JSON on the standard output, errors on the standard error.
//!
//! No line of text is wider than the terminal, whatever a command returns: see [`terminal`] for the width, and [`columns`] for how
//! tables give way. JSON and generated files are written as they are.

mod columns;
mod terminal;
mod wrapping;

use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use tidemill_core::ErrorKind;

pub(crate) use columns::Column;
pub(crate) use terminal::{Tone, paint, result_width};
pub(crate) use wrapping::wrap;

/// How results are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Writes a result: as JSON, or as the text that `render_text` returns, its long lines wrapped.
    pub(crate) fn print<T: Serialize>(self, value: &T, render_text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let text = if self.json {
            serde_json::to_string_pretty(value)?
        } else {
            wrapping::wrap_prose(&render_text(value), result_width()).join("\n")
        };
        write_stdout(format!("{}\n", text.trim_end()).as_bytes())
    }
}

/// Writes to the standard output.
pub(crate) fn write_stdout(bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // The reader closed the pipe (`| head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to the standard output"),
    }
}

/// A table, or `empty` if it has no rows. A header alone stands for a column of text.
pub(crate) fn table<'a, C: Copy + Into<Column<'a>>>(columns: &[C], rows: Vec<Vec<String>>, empty: &str) -> String {
    if rows.is_empty() {
        return empty.to_owned();
    }
    let columns: Vec<Column<'_>> = columns.iter().map(|column| (*column).into()).collect();
    columns::render_table(&columns, &rows, result_width())
}

/// Names with what they stand for, one below the other; those without a value are left out.
pub(crate) fn fields(rows: &[(&str, String)]) -> String {
    let rows = rows.iter().filter(|(_, value)| !value.is_empty());
    let rows = rows.map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
    table(&[Column::word(""), Column::text("")], rows.collect(), "")
}

/// An error with a line of advice.
#[derive(Debug)]
pub(crate) struct HintedError {
    pub(crate) error: tidemill_core::Error,
    pub(crate) hint: String,
}

impl std::fmt::Display for HintedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for HintedError {}

/// Adds a line of advice.
pub(crate) fn with_hint(error: tidemill_core::Error, hint: impl Into<String>) -> anyhow::Error {
    HintedError { error, hint: hint.into() }.into()
}

/// An error as `--json` prints it.
#[derive(Serialize)]
struct ReportedError {
    /// The kind, such as `not-found`; `other` for a failure of the command line itself.
    kind: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// Writes an error to the standard error, as text or as `{ "error": { … } }`, and returns the exit code of its kind.
pub(crate) fn report_error(error: &anyhow::Error, json: bool) -> ExitCode {
    let hinted = error.downcast_ref::<HintedError>();
    let kind = hinted
        .map(|hinted| hinted.error.kind)
        .or_else(|| error.chain().find_map(|e| e.downcast_ref::<tidemill_core::Error>()).map(|e| e.kind));
    let reported = ReportedError {
        kind: kind.map_or("other", ErrorKind::as_str),
        message: format!("{error:#}"),
        hint: hinted.map(|hinted| hinted.hint.clone()),
    };
    if json {
        eprintln!("{}", serde_json::json!({ "error": reported }));
    } else {
        let hint = reported.hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        let text = format!("error: {}{hint}", reported.message);
        match terminal::error_width() {
            Some(width) => eprintln!("{}", wrapping::wrap_prose(&text, width).join("\n")),
            None => eprintln!("{text}"),
        }
    }
    ExitCode::from(kind.map_or(1, ErrorKind::exit_code))
}
