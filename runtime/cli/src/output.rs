//! The output of commands: tables or JSON on the standard output, errors on the standard error.

use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde::Serialize;
use tidemill_core::ErrorKind;

/// How results are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Writes a result: as JSON, or as the text that `render_text` returns.
    pub(crate) fn print<T: Serialize>(self, value: &T, render_text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let text = if self.json {
            serde_json::to_string_pretty(value)?
        } else {
            render_text(value)
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

/// A table, or `empty` if it has no rows.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, empty: &str) -> String {
    if rows.is_empty() {
        return empty.to_owned();
    }
    let mut table = Table::new();
    table
        .load_preset(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    table.to_string()
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
        eprintln!("error: {}", reported.message);
        if let Some(hint) = reported.hint {
            eprintln!("hint: {hint}");
        }
    }
    ExitCode::from(kind.map_or(1, ErrorKind::exit_code))
}
