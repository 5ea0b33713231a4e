//! The common table expressions over parts: `<dataset>` is the parts merged by key, `_features` those rows of the user's SELECT that have a label and a time.
//!
//! Where two parts have a row of the same key, the later part's stands: by greatest event time, then by digest.

use tidemill_core::{Error, Result, Table, record::Request};

use crate::Config;

/// SQL that every query of the stage starts with, and the tables that it reads.
pub(crate) struct Source {
    pub(crate) with: String,
    pub(crate) tables: Vec<Table>,
}

/// An SQL identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An SQL string.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Identifiers with commas between.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

pub(crate) fn source(request: &Request, config: &Config) -> Result<Source> {
    let dataset = &config.dataset;
    if let Some(part) = request.parts.iter().find(|part| part.dataset != dataset.name) {
        let (found, wanted) = (&part.dataset, &dataset.name);
        return Err(Error::input(format!("the request names a part of `{found}`, and the features are made from `{wanted}`")));
    }
    let mut parts: Vec<_> = request.parts.iter().collect();
    parts.sort_by(|a, b| (a.until, &a.digest).cmp(&(b.until, &b.digest)));
    parts.dedup_by(|a, b| a.digest == b.digest);
    let tables: Vec<Table> = parts.iter().enumerate().map(|(i, part)| Table::parquet(&format!("_part_{i}"), [part.data.as_str()])).collect();
    let one = |(i, table): (usize, &Table)| format!("SELECT *, {i} AS _part FROM {}", quoted(&table.name));
    let union = tables.iter().enumerate().map(one).collect::<Vec<_>>().join("\n    UNION ALL BY NAME ");
    let (key, time, name) = (list(&dataset.key), quoted(&dataset.time), quoted(&dataset.name));
    // Rows that a part has twice under one key are told apart by their content, so that the same one is always kept.
    let content = list(dataset.contract.columns.iter().filter(|(_, column)| !column.optional).map(|(name, _)| name));
    let as_of = literal(&micros_text(request.as_of));
    let (event, label) = (quoted(&config.features.time), quoted(&config.features.label));
    let select = config.features.sql.trim().trim_end_matches(';');
    let with = format!(
        "WITH _merged AS (\n    {union}\n), {name} AS (\n    SELECT * EXCLUDE (_part) FROM _merged WHERE {time} < {as_of}::TIMESTAMP\n    \
         QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY _part DESC, {content}) = 1\n), _selected AS (\n{select}\n), \
         _features AS (\n    SELECT * FROM _selected WHERE {event} IS NOT NULL AND {label} IS NOT NULL\n)\n"
    );
    Ok(Source { with, tables })
}

/// A time as DuckDB reads it: UTC, without a zone.
pub(crate) fn micros_text(time: jiff::Timestamp) -> String {
    time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}
