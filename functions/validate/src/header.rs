//! The file's columns, compared with the contract's. Names are compared exactly, case included.

use std::collections::BTreeMap;

use arrow_schema::DataType;
use tidemill_core::{
    ErrorKind, Finding, Format, Result, Sql, Table,
    spec::{ColumnType, Contract},
};

use crate::error_finding;

/// The type of a column in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileType {
    /// Text, which is parsed as the contract's type.
    Text,
    Integer,
    Number,
    Boolean,
    Timestamp,
    /// All values are null, or the column does not exist.
    Absent,
    /// A list, a struct, bytes.
    Other,
}

/// The columns of the file.
pub(crate) struct FileColumns {
    /// Types in the file, by column of the contract.
    pub(crate) types: BTreeMap<String, FileType>,
    /// All columns of the file, in order.
    pub(crate) names: Vec<String>,
}

/// Reads the header, and returns a finding for each difference from the contract.
pub(crate) fn read_header(contract: &Contract, table: &Table, sql: &dyn Sql) -> Result<Result<FileColumns, Vec<Finding>>> {
    // One row is always returned, so that an empty file still shows its columns.
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
        .flat_map(|schema| schema.fields().iter())
        .map(|field| (field.name().clone(), file_type(field.data_type())))
        .collect();
    let findings = compare_columns(contract, &found, table.format, key);
    if !findings.is_empty() {
        return Ok(Err(findings));
    }
    let names = found.iter().map(|(name, _)| name.clone()).collect();
    let found: BTreeMap<String, FileType> = found.into_iter().collect();
    let types = contract
        .columns
        .keys()
        .map(|name| (name.clone(), found.get(name).copied().unwrap_or(FileType::Absent)))
        .collect();
    Ok(Ok(FileColumns { types, names }))
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
        findings.extend(found.iter().filter_map(|(name, found)| {
            let column = contract.columns.get(name)?;
            let fits = is_compatible(*found, column.kind) || format == Format::JsonLines && *found != FileType::Other;
            let kind = column.kind.sql_type();
            (!fits).then(|| {
                error_finding(
                    "type",
                    name,
                    format!("column `{name}` is {found:?} in the file; the contract wants {kind}: cast it"),
                    0,
                )
            })
        }));
    }
    findings
}

fn is_compatible(found: FileType, kind: ColumnType) -> bool {
    match kind {
        _ if found == FileType::Absent => true,
        ColumnType::Integer => found == FileType::Integer,
        ColumnType::Number => matches!(found, FileType::Integer | FileType::Number),
        ColumnType::Text => found == FileType::Text,
        ColumnType::Boolean => found == FileType::Boolean,
        ColumnType::Timestamp => found == FileType::Timestamp,
    }
}

fn quote_list(names: &[&str]) -> String {
    format!("`{}`", names.join("`, `"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract() -> Contract {
        serde_json::from_value(serde_json::json!({
            "columns": { "id": { "type": "integer" }, "note": { "type": "text", "optional": true } }
        }))
        .unwrap()
    }

    fn messages(found: &[(&str, FileType)], format: Format) -> Vec<String> {
        let found: Vec<(String, FileType)> = found.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        let findings = compare_columns(&contract(), &found, format, "raw/a.csv");
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn columns_are_compared_by_exact_name() {
        assert_eq!(messages(&[("id", FileType::Text)], Format::Csv), Vec::<String>::new());
        let found = messages(&[("ID", FileType::Text)], Format::Csv);
        assert!(
            found[0].starts_with("`id` missing; the contract has `id`, `note`, the file has `ID`"),
            "{found:?}"
        );
        assert!(found[1].starts_with("`ID` not in the contract"), "{found:?}");
    }

    #[test]
    fn types_are_compared_where_the_file_has_some() {
        let found = messages(&[("id", FileType::Number)], Format::Parquet);
        assert_eq!(found, ["column `id` is Number in the file; the contract wants BIGINT: cast it"]);
        assert_eq!(messages(&[("id", FileType::Absent)], Format::Parquet), Vec::<String>::new());
        assert_eq!(messages(&[("id", FileType::Number)], Format::JsonLines), Vec::<String>::new());
        assert_eq!(messages(&[("id", FileType::Other)], Format::JsonLines).len(), 1);
    }
}
