//! The common table expressions over parts: `<dataset>` is the parts merged by key, `_features` those rows of the user's SELECT that have a label and a time.
//!
//! Where two parts have a row of the same key, the later part's stands: by greatest event time, then by digest.
//! Rows that one part has twice under a key both stay, in a total order; rows without a key are left out.

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
        return Err(Error::input(format!(
            "the request names a part of `{found}`, and the features are made from `{wanted}`"
        )));
    }
    let mut parts: Vec<_> = request.parts.iter().collect();
    parts.sort_by(|a, b| (a.until, &a.digest).cmp(&(b.until, &b.digest)));
    parts.dedup_by(|a, b| a.digest == b.digest);
    let tables: Vec<Table> = parts
        .iter()
        .enumerate()
        .map(|(i, part)| Table::parquet(&format!("_part_{i}"), [part.data.as_str()]))
        .collect();
    let (key, time, name) = (list(&dataset.key), quoted(&dataset.time), quoted(&dataset.name));
    let union = |columns: &str, how: &str| {
        let one = |(i, table): (usize, &Table)| format!("SELECT {columns}, {i} AS _part FROM {}", quoted(&table.name));
        tables
            .iter()
            .enumerate()
            .map(one)
            .collect::<Vec<_>>()
            .join(&format!("\n    {how} "))
    };
    let (all, keys) = (union("*", "UNION ALL BY NAME"), union(&key, "UNION ALL"));
    let as_of = literal(&as_sql(request.as_of));
    let (event, label) = (quoted(&config.features.time), quoted(&config.features.label));
    let select = config.features.sql.trim().trim_end_matches(';');
    let with = format!(
        "WITH _all AS (\n    {all}\n), _latest AS (\n    SELECT {key}, max(_part) AS _part FROM (\n    {keys}\n    ) GROUP BY {key}\n), \
         {name} AS (\n    SELECT _all.* EXCLUDE (_part) FROM _all JOIN _latest USING ({key}, _part) WHERE {time} < {as_of}::TIMESTAMP\n), \
         _selected AS (\n{select}\n), \
         _features AS (\n    SELECT * FROM _selected WHERE {event} IS NOT NULL AND {label} IS NOT NULL\n)\n"
    );
    Ok(Source { with, tables })
}

/// A time as DuckDB reads it: UTC, without a zone.
pub(crate) fn as_sql(time: jiff::Timestamp) -> String {
    time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}
