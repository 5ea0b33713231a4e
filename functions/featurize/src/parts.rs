//! The common table expressions over parts: `<dataset>` is the parts merged by key, `_features` those rows of the user's SELECT that have a label and a time.
//!
//! Where two parts have a row of the same key, the later part's stands: by greatest event time, then by digest.
//! Rows that one part has twice under a key both stay, in a total order; rows without a key are left out.

use tidemill_core::{Error, Result, Table, record::TrainingRequest};

use crate::Config;

/// SQL that every query of the stage starts with, and the tables that it reads.
pub(crate) struct FeatureSource {
    pub(crate) with: String,
    pub(crate) tables: Vec<Table>,
}

/// An SQL identifier.
pub(crate) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An SQL string.
pub(crate) fn quote_string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Identifiers with commas between.
pub(crate) fn quote_identifiers<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(|name| quote_identifier(name)).collect::<Vec<_>>().join(", ")
}

pub(crate) fn build_source(request: &TrainingRequest, config: &Config) -> Result<FeatureSource> {
    let dataset = &config.dataset;
    if let Some(part) = request.data_files.iter().find(|part| part.dataset != dataset.name) {
        let (found, wanted) = (&part.dataset, &dataset.name);
        return Err(Error::input(format!(
            "the request names a part of `{found}`, and the features are made from `{wanted}`"
        )));
    }
    let mut parts: Vec<_> = request.data_files.iter().collect();
    parts.sort_by(|a, b| (a.until, &a.digest).cmp(&(b.until, &b.digest)));
    parts.dedup_by(|a, b| a.digest == b.digest);
    let tables: Vec<Table> = parts
        .iter()
        .enumerate()
        .map(|(i, part)| Table::parquet(&format!("_part_{i}"), [part.data.as_str()]))
        .collect();
    let (key, time, name) = (
        quote_identifiers(&dataset.key),
        quote_identifier(&dataset.time),
        quote_identifier(&dataset.name),
    );
    let union = |columns: &str, how: &str| {
        let one = |(i, table): (usize, &Table)| format!("SELECT {columns}, {i} AS _part FROM {}", quote_identifier(&table.name));
        tables
            .iter()
            .enumerate()
            .map(one)
            .collect::<Vec<_>>()
            .join(&format!("\n    {how} "))
    };
    let (all, keys) = (union("*", "UNION ALL BY NAME"), union(&key, "UNION ALL"));
    let as_of = quote_string(&timestamp_text(request.as_of));
    let (event, label) = (quote_identifier(&config.features.time), quote_identifier(&config.features.label));
    let select = config.features.sql.trim().trim_end_matches(';');
    let with = format!(
        "WITH _all AS (\n    {all}\n), _latest AS (\n    SELECT {key}, max(_part) AS _part FROM (\n    {keys}\n    ) GROUP BY {key}\n), \
         {name} AS (\n    SELECT _all.* EXCLUDE (_part) FROM _all JOIN _latest USING ({key}, _part) WHERE {time} < {as_of}::TIMESTAMP\n), \
         _selected AS (\n{select}\n), \
         _features AS (\n    SELECT * FROM _selected WHERE {event} IS NOT NULL AND {label} IS NOT NULL\n)\n"
    );
    Ok(FeatureSource { with, tables })
}

/// A time as DuckDB reads it: UTC, without a zone.
pub(crate) fn timestamp_text(time: jiff::Timestamp) -> String {
    time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}
