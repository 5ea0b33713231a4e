//! The contract as a list of checks, each an SQL condition that is true on a row that breaks it. Null passes everything but `not-null`.
//!
//! Conditions see the typed columns by name, what stood in the file as `__raw_<column>`, and the row's number as `__row`.

use tidemill_core::{
    Error, Result, Severity,
    spec::{Assertion, Column, ColumnType, Dataset},
};

use crate::{
    header::FileColumns,
    values::{format_scalar, literal_sql, quote_identifier, quote_string},
};

/// One check.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) name: String,
    /// A column, a list of columns, or the dataset.
    pub(crate) target: String,
    pub(crate) severity: Severity,
    /// The share of non-null values that must pass.
    pub(crate) mostly: f64,
    /// True on a bad row.
    pub(crate) failure_sql: String,
    /// Counts bad rows without looking at each: for `unique`, whose condition needs a sort.
    pub(crate) count_sql: Option<String>,
    /// How many rows the share is of.
    pub(crate) population_sql: String,
    /// What to show of a bad row.
    pub(crate) example_sql: String,
    /// Of the row: "`distance` is below 1".
    pub(crate) reason: String,
}

/// The name of what stood in the file.
pub(crate) fn raw_column(column: &str) -> String {
    quote_identifier(&format!("__raw_{column}"))
}

/// All checks on rows, in the contract's order. Assertions about the whole part are the profile's.
pub(crate) fn compile_checks(dataset: &Dataset, columns: &FileColumns) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for (name, column) in &dataset.contract.columns {
        let needed = !column.nullable || *name == dataset.time || dataset.key.contains(name);
        if columns.types.contains_key(name) {
            of_column(name, column, needed, &mut checks)?;
        }
    }
    let key = dataset.key.iter().map(|k| quote_identifier(k)).collect::<Vec<_>>().join(", ");
    if !key.is_empty() {
        checks.push(unique_check("key", &dataset.key.join(", "), &key, Severity::Error, 1.0));
    }
    for assertion in &dataset.contract.sql {
        if let Assertion::Row(sql) = &assertion.assertion {
            let columns = dataset.contract.columns.keys().filter(|name| sql.contains(name.as_str()));
            let shows = columns.map(|name| {
                format!(
                    "{} || coalesce(CAST({} AS VARCHAR), 'null')",
                    quote_string(&format!("{name}=")),
                    quote_identifier(name)
                )
            });
            let shows = shows.collect::<Vec<_>>().join(", ");
            checks.push(Check {
                name: assertion.name.clone(),
                target: dataset.name.clone(),
                severity: assertion.severity,
                mostly: 1.0,
                failure_sql: format!("NOT ({sql})"),
                count_sql: None,
                population_sql: "count(*)".into(),
                example_sql: if shows.is_empty() {
                    "CAST(__row AS VARCHAR)".into()
                } else {
                    format!("concat_ws(' ', {shows})")
                },
                reason: format!("not `{sql}`"),
            });
        }
    }
    Ok(checks)
}

fn of_column(name: &str, column: &Column, needed: bool, checks: &mut Vec<Check>) -> Result<()> {
    let (value, raw) = (quote_identifier(name), raw_column(name));
    let check = |kind: &str, fails: String, reason: String| Check {
        name: kind.into(),
        target: name.into(),
        severity: column.severity,
        mostly: column.mostly,
        failure_sql: fails,
        count_sql: None,
        population_sql: format!("count({value})"),
        example_sql: format!("CAST({raw} AS VARCHAR)"),
        reason: format!("`{name}` {reason}"),
    };
    // Only a column that may be missing can do without a value that cannot be read.
    let strict = |mut check: Check| {
        check.mostly = 1.0;
        check.severity = if needed { Severity::Error } else { check.severity };
        check
    };
    if column.kind != ColumnType::Text {
        let fails = format!("{raw} IS NOT NULL AND {value} IS NULL");
        checks.push(strict(check("type", fails, format!("is no {}", column.kind.sql_type()))));
    }
    if needed {
        let mut missing = strict(check("not-null", format!("{raw} IS NULL"), "is missing".into()));
        missing.example_sql = "'row ' || CAST(__row AS VARCHAR)".into();
        checks.push(missing);
    }
    if let Some(minimum) = &column.minimum {
        let limit = literal_sql(minimum, column.kind, name)?;
        checks.push(check(
            "range",
            format!("{value} < {limit}"),
            format!("is below {}", format_scalar(minimum)),
        ));
    }
    if let Some(maximum) = &column.maximum {
        let limit = literal_sql(maximum, column.kind, name)?;
        checks.push(check(
            "range",
            format!("{value} > {limit}"),
            format!("is above {}", format_scalar(maximum)),
        ));
    }
    if let Some(values) = &column.values {
        let literals = values
            .iter()
            .map(|v| literal_sql(v, column.kind, name))
            .collect::<Result<Vec<_>>>()?;
        let list = values.iter().map(format_scalar).collect::<Vec<_>>().join(", ");
        let fails = if literals.is_empty() {
            format!("{value} IS NOT NULL")
        } else {
            format!("{value} NOT IN ({})", literals.join(", "))
        };
        checks.push(check("values", fails, format!("is none of {list}")));
    }
    if let Some(pattern) = &column.pattern {
        if column.kind != ColumnType::Text {
            return Err(Error::config(format!(
                "contract, column `{name}`: `pattern` is for text, and it is {}",
                column.kind.sql_type()
            )));
        }
        checks.push(check(
            "pattern",
            format!("NOT regexp_full_match({value}, {})", quote_string(pattern)),
            format!("does not match `{pattern}`"),
        ));
    }
    if column.unique {
        checks.push(unique_check("unique", name, &value, column.severity, column.mostly));
    }
    Ok(())
}

/// The first row with a value stays good, the later ones are bad.
fn unique_check(kind: &str, resource: &str, columns: &str, severity: Severity, mostly: f64) -> Check {
    let all = columns
        .split(", ")
        .map(|c| format!("{c} IS NOT NULL"))
        .collect::<Vec<_>>()
        .join(" AND ");
    Check {
        name: kind.into(),
        target: resource.into(),
        severity,
        mostly,
        failure_sql: format!("{all} AND row_number() OVER (PARTITION BY {columns} ORDER BY __row) > 1"),
        // A collision of hashes only costs the exact count that follows.
        count_sql: Some(format!(
            "count(*) FILTER (WHERE {all}) - count(DISTINCT hash({columns})) FILTER (WHERE {all})"
        )),
        population_sql: format!("count(*) FILTER (WHERE {all})"),
        example_sql: format!("concat_ws(', ', {columns})"),
        reason: format!("`{resource}` came before"),
    }
}
