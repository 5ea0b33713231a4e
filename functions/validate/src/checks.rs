//! The contract as a list of checks, each an SQL condition that is true on a row that breaks it. Null passes every check but `not-null`.
//!
//! Conditions see the typed columns by name, the file's own values as `__raw_<column>`, and the row's number as `__row`.

use tidemill_core::{
    Error, Result, Severity,
    spec::{Assertion, Column, ColumnType, ContractValue, Dataset, SqlAssertion},
    sql::{quote_identifier, quote_identifiers, quote_string},
};

use crate::{
    header::FileColumns,
    values::{format_value, literal_sql},
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
    /// Counts bad rows without `failure_sql`: for uniqueness, whose condition needs a sort.
    pub(crate) count_sql: Option<String>,
    /// Counts the rows that the share refers to.
    pub(crate) population_sql: String,
    /// The value of a bad row that a finding shows.
    pub(crate) example_sql: String,
    /// The row's defect: "`distance` is below 1".
    pub(crate) reason: String,
}

impl Check {
    /// An aggregate that counts bad rows.
    pub(crate) fn failures_sql(&self) -> String {
        let by_row = || format!("count(*) FILTER (WHERE {})", self.failure_sql);
        self.count_sql.clone().unwrap_or_else(by_row)
    }
}

/// The name of the column that holds a column's value as it is in the file.
pub(crate) fn raw_column(column: &str) -> String {
    quote_identifier(&format!("__raw_{column}"))
}

/// All checks on rows, in the contract's order. Assertions about the whole data file belong to the profile.
pub(crate) fn compile_checks(dataset: &Dataset, columns: &FileColumns) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for (name, column) in &dataset.contract.columns {
        let required = !column.nullable || *name == dataset.time || dataset.key.contains(name);
        if columns.types.contains_key(name) {
            checks.extend(ColumnChecks::new(name, column, required).compile()?);
        }
    }
    if !dataset.key.is_empty() {
        let key = quote_identifiers(&dataset.key);
        checks.push(unique_check("key", &dataset.key.join(", "), &key, Severity::Error, 1.0));
    }
    checks.extend(dataset.contract.sql.iter().filter_map(|assertion| row_check(assertion, dataset)));
    Ok(checks)
}

/// Compiles the rules for one column.
struct ColumnChecks<'a> {
    name: &'a str,
    column: &'a Column,
    /// Whether every row needs a value: by the contract, or because it is the time or in the key.
    required: bool,
    /// The typed value, as SQL.
    value: String,
    /// The file's own value, as SQL.
    raw: String,
}

impl<'a> ColumnChecks<'a> {
    fn new(name: &'a str, column: &'a Column, required: bool) -> Self {
        Self {
            name,
            column,
            required,
            value: quote_identifier(name),
            raw: raw_column(name),
        }
    }

    fn compile(&self) -> Result<Vec<Check>> {
        let mut checks: Vec<Check> = self.type_check().into_iter().chain(self.not_null_check()).collect();
        checks.extend(self.range_check(self.column.minimum.as_ref(), "<", "is below")?);
        checks.extend(self.range_check(self.column.maximum.as_ref(), ">", "is above")?);
        checks.extend(self.values_check()?);
        checks.extend(self.pattern_check()?);
        if self.column.unique {
            checks.push(unique_check(
                "unique",
                self.name,
                &self.value,
                self.column.severity,
                self.column.mostly,
            ));
        }
        Ok(checks)
    }

    fn check(&self, kind: &str, failure_sql: String, reason: &str) -> Check {
        Check {
            name: kind.into(),
            target: self.name.into(),
            severity: self.column.severity,
            mostly: self.column.mostly,
            failure_sql,
            count_sql: None,
            population_sql: format!("count({})", self.value),
            example_sql: format!("CAST({} AS VARCHAR)", self.raw),
            reason: format!("`{}` {reason}", self.name),
        }
    }

    /// A check that tolerates no row. A value that cannot be read may be dropped only from a column whose values may be missing.
    fn strict_check(&self, kind: &str, failure_sql: String, reason: &str) -> Check {
        Check {
            mostly: 1.0,
            severity: if self.required { Severity::Error } else { self.column.severity },
            ..self.check(kind, failure_sql, reason)
        }
    }

    fn type_check(&self) -> Option<Check> {
        let (value, raw, kind) = (&self.value, &self.raw, self.column.kind);
        let failure = format!("{raw} IS NOT NULL AND {value} IS NULL");
        (kind != ColumnType::Text).then(|| self.strict_check("type", failure, &format!("is no {}", kind.sql_type())))
    }

    fn not_null_check(&self) -> Option<Check> {
        self.required.then(|| Check {
            example_sql: "'row ' || CAST(__row AS VARCHAR)".into(),
            ..self.strict_check("not-null", format!("{} IS NULL", self.raw), "is missing")
        })
    }

    fn range_check(&self, limit: Option<&ContractValue>, operator: &str, reason: &str) -> Result<Option<Check>> {
        let Some(limit) = limit else { return Ok(None) };
        let failure = format!("{} {operator} {}", self.value, literal_sql(limit, self.column.kind, self.name)?);
        Ok(Some(self.check("range", failure, &format!("{reason} {}", format_value(limit)))))
    }

    fn values_check(&self) -> Result<Option<Check>> {
        let Some(values) = &self.column.values else { return Ok(None) };
        let literals = values.iter().map(|value| literal_sql(value, self.column.kind, self.name));
        let literals = literals.collect::<Result<Vec<_>>>()?;
        let failure = match literals.is_empty() {
            true => format!("{} IS NOT NULL", self.value),
            false => format!("{} NOT IN ({})", self.value, literals.join(", ")),
        };
        let list = values.iter().map(format_value).collect::<Vec<_>>().join(", ");
        Ok(Some(self.check("values", failure, &format!("is none of {list}"))))
    }

    fn pattern_check(&self) -> Result<Option<Check>> {
        let Some(pattern) = &self.column.pattern else { return Ok(None) };
        if self.column.kind != ColumnType::Text {
            let (name, kind) = (self.name, self.column.kind.sql_type());
            return Err(Error::config(format!(
                "contract, column `{name}`: `pattern` is for text, and it is {kind}"
            )));
        }
        let failure = format!("NOT regexp_full_match({}, {})", self.value, quote_string(pattern));
        Ok(Some(self.check("pattern", failure, &format!("does not match `{pattern}`"))))
    }
}

/// The first row with a value passes, and later ones fail. `columns` are quoted and separated by commas.
fn unique_check(kind: &str, target: &str, columns: &str, severity: Severity, mostly: f64) -> Check {
    let present: Vec<String> = columns.split(", ").map(|column| format!("{column} IS NOT NULL")).collect();
    let present = present.join(" AND ");
    Check {
        name: kind.into(),
        target: target.into(),
        severity,
        mostly,
        failure_sql: format!("{present} AND row_number() OVER (PARTITION BY {columns} ORDER BY __row) > 1"),
        // A hash collision costs only the exact count that follows.
        count_sql: Some(format!(
            "count(*) FILTER (WHERE {present}) - count(DISTINCT hash({columns})) FILTER (WHERE {present})"
        )),
        population_sql: format!("count(*) FILTER (WHERE {present})"),
        example_sql: format!("concat_ws(', ', {columns})"),
        reason: format!("`{target}` came before"),
    }
}

/// An assertion about each row. A finding shows the columns that its SQL names.
fn row_check(assertion: &SqlAssertion, dataset: &Dataset) -> Option<Check> {
    let Assertion::Row(sql) = &assertion.assertion else { return None };
    let named = dataset.contract.columns.keys().filter(|name| sql.contains(name.as_str()));
    let example = |name: &String| {
        let (label, value) = (quote_string(&format!("{name}=")), quote_identifier(name));
        format!("{label} || coalesce(CAST({value} AS VARCHAR), 'null')")
    };
    let examples = named.map(example).collect::<Vec<_>>().join(", ");
    Some(Check {
        name: assertion.name.clone(),
        target: dataset.name.clone(),
        severity: assertion.severity,
        mostly: 1.0,
        failure_sql: format!("NOT ({sql})"),
        count_sql: None,
        population_sql: "count(*)".into(),
        example_sql: match examples.is_empty() {
            true => "CAST(__row AS VARCHAR)".into(),
            false => format!("concat_ws(' ', {examples})"),
        },
        reason: format!("not `{sql}`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(column: serde_json::Value) -> Result<Vec<Check>> {
        let dataset: Dataset = serde_json::from_value(serde_json::json!({
            "name": "readings", "time": "at", "key": ["id"],
            "contract": {
                "columns": { "level": column },
                "sql": [{ "name": "sane", "row": "level < 10" }, { "name": "full", "table": "count(level) > 0" }]
            }
        }))
        .unwrap();
        let columns = FileColumns {
            types: [("level".to_owned(), crate::header::FileType::Text)].into(),
            names: vec!["level".into()],
        };
        compile_checks(&dataset, &columns)
    }

    #[test]
    fn each_rule_is_one_condition() {
        let column = serde_json::json!({ "type": "number", "nullable": true, "minimum": 1, "maximum": 9.5, "values": [1, 2], "unique": true, "mostly": 0.9 });
        let checks = compile(column).unwrap();
        let found: Vec<(&str, &str)> = checks.iter().map(|check| (check.name.as_str(), check.reason.as_str())).collect();
        let expected = [
            ("type", "`level` is no DOUBLE"),
            ("range", "`level` is below 1"),
            ("range", "`level` is above 9.5"),
            ("values", "`level` is none of 1, 2"),
            ("unique", "`level` came before"),
            ("key", "`id` came before"),
            ("sane", "not `level < 10`"),
        ];
        assert_eq!(found, expected, "assertions about the whole table are not checks on rows");
        assert_eq!(checks[1].failure_sql, "\"level\" < '1e0'::DOUBLE");
        assert_eq!(
            (checks[0].mostly, checks[1].mostly),
            (1.0, 0.9),
            "an unreadable value is never tolerated"
        );
    }

    #[test]
    fn a_rule_that_does_not_fit_the_type_is_a_configuration_error() {
        let error = compile(serde_json::json!({ "type": "integer", "pattern": "a+" })).unwrap_err();
        assert!(error.message.contains("`pattern` is for text, and it is BIGINT"), "{error}");
        let error = compile(serde_json::json!({ "type": "boolean", "minimum": 3 })).unwrap_err();
        assert!(error.message.contains("`3` is no BOOLEAN"), "{error}");
    }
}
