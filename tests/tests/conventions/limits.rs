//! `docs/limits.md` says what the code does: each row names a constant, or a field of defaults, and its file.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use super::sources::root;

const DOCUMENT: &str = "docs/limits.md";
/// Defaults of which each field has a row.
const DEFAULTS: [(&str, &str); 2] = [
    ("runtime/engine/src/http_server/limits.rs", "impl Default for HttpLimits"),
    ("runtime/engine/src/serve/mod.rs", "impl Default for ServeLimits"),
];

/// A row: the value that it states, the symbol, and the file.
struct Row {
    value: String,
    symbol: String,
    file: String,
}

fn rows(text: &str) -> Vec<Row> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        let (symbol, rest) = cells.get(4)?.strip_prefix("[`")?.split_once("`](../")?;
        Some(Row {
            value: (*cells.get(1)?).to_owned(),
            symbol: symbol.to_owned(),
            file: rest.strip_suffix(')')?.to_owned(),
        })
    };
    text.lines().filter_map(row).collect()
}

/// `30 s` or `8 MiB` or `100,000` as seconds, bytes or a count.
fn stated(value: &str) -> Option<u64> {
    let (number, unit) = value.split_once(' ').unwrap_or((value, ""));
    let number: u64 = number.replace(',', "").parse().ok()?;
    let shift = match unit {
        "" | "s" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    Some(number << shift)
}

/// The same of an expression: `Duration::from_secs(30)`, `8 << 20`, `100_000`.
fn evaluate(expression: &str) -> Option<u64> {
    let expression = expression.trim();
    if expression == "Duration::ZERO" {
        return Some(0);
    }
    let inner = expression
        .strip_prefix("Duration::from_secs(")
        .and_then(|rest| rest.strip_suffix(')'));
    let plain = inner.unwrap_or(expression).replace('_', "");
    match plain.split_once("<<") {
        Some((number, shift)) => Some(number.trim().parse::<u64>().ok()? << shift.trim().parse::<u32>().ok()?),
        None => plain.trim().parse().ok(),
    }
}

/// The value of a constant or a field in a source.
fn defined(source: &str, symbol: &str) -> Option<u64> {
    source.lines().find_map(|line| {
        let line = line.trim();
        let expression = match line.split_once(&format!("const {symbol}: ")) {
            Some((_, rest)) => rest.split_once('=')?.1.strip_suffix(';')?,
            None => line.strip_prefix(&format!("{symbol}: "))?.strip_suffix(',')?,
        };
        evaluate(expression)
    })
}

fn read(file: &str) -> Result<String> {
    std::fs::read_to_string(root()?.join(file)).with_context(|| file.to_owned())
}

#[test]
fn limits_in_the_document_are_those_of_the_code() -> Result<()> {
    let rows = rows(&read(DOCUMENT)?);
    ensure!(rows.len() > 25, "{DOCUMENT}: {} rows", rows.len());
    for Row { value, symbol, file } in &rows {
        let found = defined(&read(file)?, symbol).with_context(|| format!("{DOCUMENT}: `{symbol}` is no constant or default of {file}"))?;
        ensure!(
            stated(value) == Some(found),
            "{DOCUMENT}: `{symbol}` is {found} (seconds, bytes or a count), not `{value}`"
        );
    }
    for (file, start) in DEFAULTS {
        let source = read(file)?;
        let block = source.split(start).nth(1).with_context(|| format!("{file} has no `{start}`"))?;
        let fields = block
            .lines()
            .take_while(|line| *line != "}")
            .filter_map(|line| Some(line.trim().split_once(": ")?.0));
        let known: BTreeSet<&str> = rows.iter().filter(|row| row.file == file).map(|row| row.symbol.as_str()).collect();
        for field in fields {
            ensure!(known.contains(field), "{DOCUMENT} has no row for `{field}` of {file}");
        }
    }
    Ok(())
}

#[test]
fn values_are_compared_by_their_size() {
    assert_eq!((stated("8 MiB"), evaluate("8 << 20")), (Some(8 << 20), Some(8 << 20)));
    assert_eq!((stated("30 s"), evaluate("Duration::from_secs(30)")), (Some(30), Some(30)));
    assert_eq!((stated("100,000"), evaluate("100_000")), (Some(100_000), Some(100_000)));
    assert_eq!((stated("soon"), evaluate("Duration")), (None, None));
    assert_eq!(defined("    pub a: u8,\n    a: 4,\n", "a"), Some(4));
    assert_eq!(defined("pub const B: usize = 1 << 4;\n", "B"), Some(16));
}
