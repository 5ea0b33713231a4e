//! The columns that a file brings, against the contract's. Names are compared exactly, capitals included.

use std::collections::BTreeMap;

use arrow_schema::DataType;
use tidemill_core::{
    ErrorKind, Finding, Format, Result, Sql, Table,
    spec::{ColumnType, Contract},
};

use crate::error_finding;

/// How a column stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileType {
    /// To be parsed.
    Text,
    Integer,
    Number,
    Boolean,
    Timestamp,
    /// All null, or not there at all.
    Absent,
    /// A list, a struct, bytes.
    Other,
}

/// By contract column; and all columns of the file in its order.
pub(crate) struct FileColumns {
    pub(crate) types: BTreeMap<String, FileType>,
    pub(crate) names: Vec<String>,
}

/// Reads the header; what is wrong with it is a finding each.
pub(crate) fn read_header(contract: &Contract, table: &Table, sql: &dyn Sql) -> Result<Result<FileColumns, Vec<Finding>>> {
    // One row always comes, so that an empty file still shows its columns.
    let select = "SELECT r.* FROM (SELECT 1 AS one) LEFT JOIN (SELECT * FROM raw LIMIT 1) AS r ON true";
    let key = table.keys.first().map_or("", String::as_str);
    let batches = match tidemill_sdk::query_batches(sql, select, std::slice::from_ref(table)) {
        Err(e) if matches!(e.kind, ErrorKind::Input | ErrorKind::Config) => {
            return Ok(Err(vec![error_finding(
                "readable",
                key,
                format!("`{key}` cannot be read: {}", e.message),
                0,
            )]));
        }
        other => other?,
    };
    let schema = batches.first().map(|batch| batch.schema());
    let found: Vec<(String, FileType)> = schema
        .iter()
        .flat_map(|s| {
            s.fields()
                .iter()
                .map(|f| (f.name().clone(), file_type(f.data_type())))
                .collect::<Vec<_>>()
        })
        .collect();
    let findings = compare_columns(contract, &found, table.format, key);
    if !findings.is_empty() {
        return Ok(Err(findings));
    }
    let all = found.iter().map(|(name, _)| name.clone()).collect();
    let found: BTreeMap<String, FileType> = found.into_iter().collect();
    let sources = contract
        .columns
        .keys()
        .map(|name| (name.clone(), found.get(name).copied().unwrap_or(FileType::Absent)))
        .collect();
    Ok(Ok(FileColumns {
        types: sources,
        names: all,
    }))
}

fn file_type(kind: &DataType) -> FileType {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => FileType::Text,
        kind if kind.is_integer() => FileType::Integer,
        kind if kind.is_floating() => FileType::Number,
        DataType::Decimal128(..) | DataType::Decimal256(..) => FileType::Number,
        DataType::Boolean => FileType::Boolean,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => FileType::Timestamp,
        DataType::Null => FileType::Absent,
        _ => FileType::Other,
    }
}

fn compare_columns(contract: &Contract, found: &[(String, FileType)], format: Format, key: &str) -> Vec<Finding> {
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
            quote_list(&missing),
            quote_list(&has),
            quote_list(&names)
        );
        findings.push(error_finding("header", key, message, missing.len() as u64));
    }
    if !unexpected.is_empty() && !contract.allow_extra_columns {
        let message = format!(
            "{} not in the contract, which has {}; add it there, or set `allow-extra-columns = true`",
            quote_list(&unexpected),
            quote_list(&has)
        );
        findings.push(error_finding("header", key, message, unexpected.len() as u64));
    }
    if format != Format::Csv {
        findings.extend(found.iter().filter_map(|(name, source)| {
            let column = contract.columns.get(name)?;
            let fits = is_compatible(*source, column.kind) || format == Format::JsonLines && *source != FileType::Other;
            let kind = column.kind.sql_type();
            (!fits).then(|| {
                error_finding(
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

fn is_compatible(source: FileType, kind: ColumnType) -> bool {
    match kind {
        _ if source == FileType::Absent => true,
        ColumnType::Integer => source == FileType::Integer,
        ColumnType::Number => matches!(source, FileType::Integer | FileType::Number),
        ColumnType::Text => source == FileType::Text,
        ColumnType::Boolean => source == FileType::Boolean,
        ColumnType::Timestamp => source == FileType::Timestamp,
    }
}

fn quote_list(names: &[&str]) -> String {
    format!("`{}`", names.join("`, `"))
}
