//! The contract as a list of checks, each an SQL condition that is true on a row that breaks it. Null passes everything but `not-null`.
//!
//! Conditions see the typed columns by name, what stood in the file as `__raw_<column>`, and the row's number as `__row`.

use tidemill_core::{
    Error, Result, Severity,
    spec::{Assertion, Column, ColumnType, Dataset},
};

use crate::{
    header::Columns,
    values::{literal, quoted, shown, text},
};

/// One check.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) name: String,
    /// A column, a list of columns, or the dataset.
    pub(crate) subject: String,
    pub(crate) severity: Severity,
    /// The share of non-null values that must pass.
    pub(crate) mostly: f64,
    /// True on a bad row.
    pub(crate) fails: String,
    /// Counts bad rows without looking at each: for `unique`, whose condition needs a sort.
    pub(crate) counted: Option<String>,
    /// How many rows the share is of.
    pub(crate) of: String,
    /// What to show of a bad row.
    pub(crate) shows: String,
    /// Of the row: "`distance` is below 1".
    pub(crate) reason: String,
}

/// The name of what stood in the file.
pub(crate) fn raw_name(column: &str) -> String {
    quoted(&format!("__raw_{column}"))
}

/// All checks on rows, in the contract's order. Assertions about the whole part are the profile's.
pub(crate) fn of(dataset: &Dataset, columns: &Columns) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for (name, column) in &dataset.contract.columns {
        let needed = !column.nullable || *name == dataset.time || dataset.key.contains(name);
        if columns.sources.contains_key(name) {
            of_column(name, column, needed, &mut checks)?;
        }
    }
    let key = dataset.key.iter().map(|k| quoted(k)).collect::<Vec<_>>().join(", ");
    if !key.is_empty() {
        checks.push(unique("key", &dataset.key.join(", "), &key, Severity::Error, 1.0));
    }
    for assertion in &dataset.contract.sql {
        if let Assertion::Row(sql) = &assertion.assertion {
            let columns = dataset.contract.columns.keys().filter(|name| sql.contains(name.as_str()));
            let shows = columns.map(|name| {
                format!(
                    "{} || coalesce(CAST({} AS VARCHAR), 'null')",
                    text(&format!("{name}=")),
                    quoted(name)
                )
            });
            let shows = shows.collect::<Vec<_>>().join(", ");
            checks.push(Check {
                name: assertion.name.clone(),
                subject: dataset.name.clone(),
                severity: assertion.severity,
                mostly: 1.0,
                fails: format!("NOT ({sql})"),
                counted: None,
                of: "count(*)".into(),
                shows: if shows.is_empty() {
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
    let (value, raw) = (quoted(name), raw_name(name));
    let check = |kind: &str, fails: String, reason: String| Check {
        name: kind.into(),
        subject: name.into(),
        severity: column.severity,
        mostly: column.mostly,
        fails,
        counted: None,
        of: format!("count({value})"),
        shows: format!("CAST({raw} AS VARCHAR)"),
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
        checks.push(strict(check("type", fails, format!("is no {}", column.kind.sql()))));
    }
    if needed {
        let mut missing = strict(check("not-null", format!("{raw} IS NULL"), "is missing".into()));
        missing.shows = "'row ' || CAST(__row AS VARCHAR)".into();
        checks.push(missing);
    }
    if let Some(minimum) = &column.minimum {
        let limit = literal(minimum, column.kind, name)?;
        checks.push(check("range", format!("{value} < {limit}"), format!("is below {}", shown(minimum))));
    }
    if let Some(maximum) = &column.maximum {
        let limit = literal(maximum, column.kind, name)?;
        checks.push(check("range", format!("{value} > {limit}"), format!("is above {}", shown(maximum))));
    }
    if let Some(values) = &column.values {
        let literals = values.iter().map(|v| literal(v, column.kind, name)).collect::<Result<Vec<_>>>()?;
        let list = values.iter().map(shown).collect::<Vec<_>>().join(", ");
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
                column.kind.sql()
            )));
        }
        checks.push(check(
            "pattern",
            format!("NOT regexp_full_match({value}, {})", text(pattern)),
            format!("does not match `{pattern}`"),
        ));
    }
    if column.unique {
        checks.push(unique("unique", name, &value, column.severity, column.mostly));
    }
    Ok(())
}

/// The first row with a value stays good, the later ones are bad.
fn unique(kind: &str, subject: &str, columns: &str, severity: Severity, mostly: f64) -> Check {
    let all = columns
        .split(", ")
        .map(|c| format!("{c} IS NOT NULL"))
        .collect::<Vec<_>>()
        .join(" AND ");
    Check {
        name: kind.into(),
        subject: subject.into(),
        severity,
        mostly,
        fails: format!("{all} AND row_number() OVER (PARTITION BY {columns} ORDER BY __row) > 1"),
        // A collision of hashes only costs the exact count that follows.
        counted: Some(format!(
            "count(*) FILTER (WHERE {all}) - count(DISTINCT hash({columns})) FILTER (WHERE {all})"
        )),
        of: format!("count(*) FILTER (WHERE {all})"),
        shows: format!("concat_ws(', ', {columns})"),
        reason: format!("`{subject}` came before"),
    }
}
