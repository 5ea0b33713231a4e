//! The table of what was seen, as a page of the documentation.

use std::path::Path;

use anyhow::{Result, ensure};

use super::{case::Case, targets::Target};

/// A case on every target.
pub(crate) struct Row {
    stage: String,
    case: String,
    ends: String,
    cells: Vec<&'static str>,
}

impl Row {
    pub(crate) fn new(case: &Case) -> Self {
        let ends = match (&case.decision, case.error) {
            (_, Some(error)) => format!("error: {error}"),
            (decision, None) => decision.clone().unwrap_or_default(),
        };
        let rest = case.name.strip_prefix(&format!("{}-", case.stage)).unwrap_or(&case.name);
        Self {
            stage: case.stage.clone(),
            case: rest.replace('-', " "),
            ends,
            cells: Vec::new(),
        }
    }

    pub(crate) fn equal(&mut self) {
        self.cells.push("=");
    }

    pub(crate) fn skip(&mut self) {
        self.cells.push("–");
    }
}

/// Whether the committed page says the same.
pub(crate) fn compare_with_docs(rows: &[Row]) -> Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/parity.md");
    let text = render(rows);
    if std::env::var_os("TIDEMILL_UPDATE").is_some() {
        std::fs::write(&page, &text)?;
    }
    let committed = std::fs::read_to_string(&page).unwrap_or_default();
    ensure!(
        committed == text,
        "docs/parity.md is not what was seen; if the change is meant, run this test with TIDEMILL_UPDATE=1. Seen:\n{text}"
    );
    Ok(())
}

fn render(rows: &[Row]) -> String {
    let mut text = String::from(
        "# The same on every target\n\n\
         Written by `tests/tests/parity` from what it saw, and compared with it in every test run. `=`: the outcome record (decision, reason,\n\
         findings, result, the SHA-256 of every object written) and the list of what was read are equal to the byte to those of the first\n\
         column; for an error, its kind and message. `–`: the stage does not run there. No tolerance is given anywhere.\n\n",
    );
    for target in Target::ALL {
        text += &format!("- **{}**: {}\n", target.name(), target.about());
    }
    let names = Target::ALL.map(|target| format!(" {} |", target.name())).concat();
    text += &format!(
        "\n| Stage | Case | Ends |{names}\n|---|---|---|{}\n",
        "---|".repeat(Target::ALL.len())
    );
    for row in rows {
        let cells: String = row.cells.iter().map(|cell| format!(" {cell} |")).collect();
        text += &format!("| {} | {} | {} |{cells}\n", row.stage, row.case, row.ends);
    }
    text += &format!(
        "\n{} cases. The stages of whole chains are compared in `tests/tests/parity_chain.rs` and `lambda_chain.rs`.\n",
        rows.len()
    );
    text
}
