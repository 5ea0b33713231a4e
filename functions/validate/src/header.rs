//! The columns that a file brings, against the contract's. Names are compared exactly, capitals included.

use std::collections::BTreeMap;

use arrow_schema::DataType;
use tidemill_core::{
    ErrorKind, Finding, Format, Result, Sql, Table,
    spec::{ColumnType, Contract},
};

use crate::error;

/// How a column stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// To be parsed.
    Text,
    Integer,
    Number,
    Boolean,
    Timestamp,
    /// All null, or not there at all.
    Nothing,
    /// A list, a struct, bytes.
    Other,
}

/// By contract column; and all columns of the file in its order.
pub(crate) struct Columns {
    pub(crate) sources: BTreeMap<String, Source>,
    pub(crate) all: Vec<String>,
}

/// Reads the header; what is wrong with it is a finding each.
pub(crate) fn read(contract: &Contract, table: &Table, sql: &dyn Sql) -> Result<Result<Columns, Vec<Finding>>> {
    // One row always comes, so that an empty file still shows its columns.
    let select = "SELECT r.* FROM (SELECT 1 AS one) LEFT JOIN (SELECT * FROM raw LIMIT 1) AS r ON true";
    let key = table.keys.first().map_or("", String::as_str);
    let batches = match tidemill_sdk::batches(sql, select, std::slice::from_ref(table)) {
        Err(e) if matches!(e.kind, ErrorKind::Input | ErrorKind::Config) => {
            return Ok(Err(vec![error(
                "readable",
                key,
                format!("`{key}` cannot be read: {}", e.message),
                0,
            )]));
        }
        other => other?,
    };
    let schema = batches.first().map(|batch| batch.schema());
    let found: Vec<(String, Source)> = schema
        .iter()
        .flat_map(|s| {
            s.fields()
                .iter()
                .map(|f| (f.name().clone(), source(f.data_type())))
                .collect::<Vec<_>>()
        })
        .collect();
    let findings = compare(contract, &found, table.format, key);
    if !findings.is_empty() {
        return Ok(Err(findings));
    }
    let all = found.iter().map(|(name, _)| name.clone()).collect();
    let found: BTreeMap<String, Source> = found.into_iter().collect();
    let sources = contract
        .columns
        .keys()
        .map(|name| (name.clone(), found.get(name).copied().unwrap_or(Source::Nothing)))
        .collect();
    Ok(Ok(Columns { sources, all }))
}

fn source(kind: &DataType) -> Source {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Source::Text,
        kind if kind.is_integer() => Source::Integer,
        kind if kind.is_floating() => Source::Number,
        DataType::Decimal128(..) | DataType::Decimal256(..) => Source::Number,
        DataType::Boolean => Source::Boolean,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Source::Timestamp,
        DataType::Null => Source::Nothing,
        _ => Source::Other,
    }
}

fn compare(contract: &Contract, found: &[(String, Source)], format: Format, key: &str) -> Vec<Finding> {
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let missing: Vec<&str> = contract
        .columns
        .iter()
        .filter(|(n, c)| !c.optional && !names.contains(&n.as_str()))
        .map(|(n, _)| n.as_str())
        .collect();
    let unexpected: Vec<&str> = names.iter().copied().filter(|n| !contract.columns.contains_key(*n)).collect();
    let mut findings = Vec::new();
    let has = contract.columns.keys().map(String::as_str).collect::<Vec<_>>();
    if !missing.is_empty() {
        let message = format!(
            "{} missing; the contract has {}, the file has {}",
            listed(&missing),
            listed(&has),
            listed(&names)
        );
        findings.push(error("header", key, message, missing.len() as u64));
    }
    if !unexpected.is_empty() && !contract.allow_extra_columns {
        let message = format!(
            "{} not in the contract, which has {}; add it there, or set `allow-extra-columns = true`",
            listed(&unexpected),
            listed(&has)
        );
        findings.push(error("header", key, message, unexpected.len() as u64));
    }
    if format != Format::Csv {
        findings.extend(found.iter().filter_map(|(name, source)| {
            let column = contract.columns.get(name)?;
            let fits = fits(*source, column.kind) || format == Format::JsonLines && *source != Source::Other;
            let kind = column.kind.sql();
            (!fits).then(|| {
                error(
                    "type",
                    name,
                    format!("column `{name}` is {source:?} in the file; the contract wants {kind}: cast it"),
                    0,
                )
            })
        }));
    }
    findings
}

fn fits(source: Source, kind: ColumnType) -> bool {
    match kind {
        _ if source == Source::Nothing => true,
        ColumnType::Integer => source == Source::Integer,
        ColumnType::Number => matches!(source, Source::Integer | Source::Number),
        ColumnType::Text => source == Source::Text,
        ColumnType::Boolean => source == Source::Boolean,
        ColumnType::Timestamp => source == Source::Timestamp,
    }
}

fn listed(names: &[&str]) -> String {
    format!("`{}`", names.join("`, `"))
}
