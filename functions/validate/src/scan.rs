//! The scan: all checks counted in one pass over the file; then, only if something is bad, the rows one by one.

use tidemill_core::{
    Error, ErrorKind, ExportedFile, Finding, Format, Result, Severity, Sql, Table,
    spec::{Contract, Dataset},
};

use crate::{
    checks::{Check, raw_column},
    error_finding,
    header::FileColumns,
    values::{quote_identifier, quote_string, raw_sql, typed_sql},
};

/// Bad values shown in a finding.
const MAX_EXAMPLES: usize = 3;

/// A file with its checks counted.
pub(crate) struct Scan<'a> {
    pub(crate) dataset: &'a Dataset,
    columns: &'a FileColumns,
    table: &'a Table,
    pub(crate) sql: &'a dyn Sql,
    /// Each with its number of bad rows, if any, and whether that is tolerated.
    failed: Vec<FailedCheck>,
    rows: u64,
    /// Lines that are not CSV: line, reason.
    malformed_lines: u64,
}

struct FailedCheck {
    check: Check,
    count: u64,
    tolerated: bool,
}

impl FailedCheck {
    /// Whether its rows go to quarantine.
    fn sends_to_quarantine(&self) -> bool {
        !self.tolerated && self.check.severity == Severity::Error
    }
}

impl<'a> Scan<'a> {
    /// Counts.
    pub(crate) fn new(
        dataset: &'a Dataset,
        columns: &'a FileColumns,
        checks: Vec<Check>,
        table: &'a Table,
        sql: &'a dyn Sql,
    ) -> Result<Self> {
        let mut scan = Self {
            dataset,
            columns,
            table,
            sql,
            failed: Vec::new(),
            rows: 0,
            malformed_lines: 0,
        };
        let counts = checks.iter().flat_map(|check| {
            let count = check
                .count_sql
                .clone()
                .unwrap_or_else(|| format!("count(*) FILTER (WHERE {})", check.failure_sql));
            [count, check.population_sql.clone()]
        });
        let counts: Vec<String> = std::iter::once("count(*)".to_owned()).chain(counts).collect();
        let found = scan.query_counts(
            &format!("WITH {} SELECT {} FROM typed", scan.typed_cte(false), alias_columns(&counts)),
            counts.len(),
        )?;
        scan.rows = found.first().copied().unwrap_or_default();
        if table.format == Format::Csv {
            scan.malformed_lines = scan.query_counts("SELECT count(*) AS c0 FROM raw__rejects", 1)?[0];
        }
        scan.failed = checks
            .into_iter()
            .zip(found[1..].chunks_exact(2))
            .filter(|(_, count)| count[0] > 0)
            .map(|(check, count)| {
                let tolerated = check.mostly < 1.0 && count[1].saturating_sub(count[0]) as f64 >= check.mostly * count[1] as f64;
                FailedCheck {
                    check,
                    count: count[0],
                    tolerated,
                }
            })
            .collect();
        Ok(scan)
    }

    /// The common table expression `typed`: the contract's columns, typed, and what stood in the file.
    fn typed_cte(&self, numbered: bool) -> String {
        let each = self.dataset.contract.columns.iter().map(|(name, column)| {
            let source = self.columns.types[name];
            let raw = raw_sql(name, source, column.kind, self.table.format);
            format!(
                "{} AS {}, {raw} AS {}",
                typed_sql(&raw, source, column.kind),
                quote_identifier(name),
                raw_column(name)
            )
        });
        let number = if numbered { "row_number() OVER ()" } else { "0" };
        // For the quarantine: all columns as they stand in the file.
        let all = if numbered {
            format!(", {}", self.text_columns())
        } else {
            String::new()
        };
        format!(
            "typed AS (SELECT {number} AS __row, {}{all} FROM raw)",
            each.collect::<Vec<_>>().join(", ")
        )
    }

    fn text_columns(&self) -> String {
        let columns = self
            .columns
            .names
            .iter()
            .enumerate()
            .map(|(i, name)| format!("CAST({} AS VARCHAR) AS __text_{i}", quote_identifier(name)));
        columns.collect::<Vec<_>>().join(", ")
    }

    /// `good`: typed columns of the rows that stay.
    pub(crate) fn good_cte(&self) -> String {
        let names = self
            .dataset
            .contract
            .columns
            .keys()
            .map(|name| quote_identifier(name))
            .collect::<Vec<_>>()
            .join(", ");
        let bad: Vec<&FailedCheck> = self.failed.iter().filter(|failed| failed.sends_to_quarantine()).collect();
        if bad.is_empty() {
            return format!("{}, good AS (SELECT {names} FROM typed)", self.typed_cte(false));
        }
        let any = bad
            .iter()
            .map(|f| format!("coalesce({}, false)", f.check.failure_sql))
            .collect::<Vec<_>>()
            .join(" OR ");
        format!(
            "{}, judged AS (SELECT *, {any} AS __bad FROM typed), good AS (SELECT {names} FROM judged WHERE NOT __bad)",
            self.typed_cte(true)
        )
    }

    /// Writes bad rows, if there are any, with all the file's columns as text; returns how many.
    pub(crate) fn write_quarantine(&self, key: &str) -> Result<u64> {
        let bad: Vec<&FailedCheck> = self.failed.iter().filter(|failed| failed.sends_to_quarantine()).collect();
        if bad.is_empty() && self.malformed_lines == 0 {
            return Ok(0);
        }
        let reasons = bad
            .iter()
            .map(|f| format!("CASE WHEN {} THEN {} END", f.check.failure_sql, quote_string(&f.check.reason)));
        let reasons = format!(
            "concat_ws('; ', NULL, {})",
            reasons.chain(["NULL".into()]).collect::<Vec<_>>().join(", ")
        );
        let names = self
            .columns
            .names
            .iter()
            .enumerate()
            .map(|(i, name)| format!("__text_{i} AS {}", quote_identifier(name)))
            .collect::<Vec<_>>()
            .join(", ");
        let nothing = self
            .columns
            .names
            .iter()
            .map(|name| format!("CAST(NULL AS VARCHAR) AS {}", quote_identifier(name)))
            .collect::<Vec<_>>()
            .join(", ");
        let mut rows = format!(
            "SELECT {names}, __reasons AS _reasons, CAST(__row AS BIGINT) AS _row, CAST(NULL AS BIGINT) AS _line, CAST(NULL AS VARCHAR) AS _text \
             FROM judged WHERE __reasons <> ''"
        );
        if self.malformed_lines > 0 {
            rows += &format!(
                " UNION ALL SELECT {nothing}, 'not CSV: ' || reason, CAST(NULL AS BIGINT), CAST(line AS BIGINT), CAST(raw AS VARCHAR) FROM raw__rejects"
            );
        }
        let judged = format!("judged AS (SELECT *, {reasons} AS __reasons FROM typed)");
        let select = format!(
            "WITH {}, {judged} SELECT * FROM ({rows}) ORDER BY _row NULLS LAST, _line, _text, _reasons",
            self.typed_cte(true)
        );
        Ok(self.run_export(&select, key)?.rows)
    }

    /// What was found, with the first bad values.
    pub(crate) fn findings(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for FailedCheck { check, count, tolerated } in &self.failed {
            let select = format!(
                "WITH {} SELECT {} AS c0 FROM (SELECT *, {} AS __fails FROM typed) WHERE __fails LIMIT {MAX_EXAMPLES}",
                self.typed_cte(true),
                check.example_sql,
                check.failure_sql
            );
            let examples = self
                .query_texts(&select, "c0")?
                .into_iter()
                .map(|v| format!("`{}`", v.unwrap_or_default()));
            let examples = examples.collect::<Vec<_>>().join(", ");
            let tolerance = if *tolerated {
                format!(" (tolerated: `mostly = {}`)", check.mostly)
            } else {
                String::new()
            };
            findings.push(Finding {
                check: check.name.clone(),
                target: check.target.clone(),
                severity: if *tolerated { Severity::Warning } else { check.severity },
                message: format!("{}: {count} of {} rows, first {examples}{tolerance}", check.reason, self.rows),
                count: *count,
            });
        }
        if self.malformed_lines > 0 {
            let select = format!(
                "SELECT 'line ' || CAST(line AS VARCHAR) || ': ' || reason AS c0 FROM raw__rejects ORDER BY line, reason LIMIT {MAX_EXAMPLES}"
            );
            let examples = self
                .query_texts(&select, "c0")?
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("; ");
            findings.push(error_finding(
                "ragged",
                &self.dataset.name,
                format!("{} lines are not CSV with this header: {examples}", self.malformed_lines),
                self.malformed_lines,
            ));
        }
        Ok(findings)
    }

    /// Why the part is refused as a whole, given its number of bad rows.
    pub(crate) fn find_rejection(&self, bad: u64) -> Option<Finding> {
        let Contract {
            minimum_rows,
            maximum_rows,
            maximum_quarantined,
            ..
        } = &self.dataset.contract;
        let (all, name) = (self.rows + self.malformed_lines, &self.dataset.name);
        let (check, message) = if all == 0 {
            ("rows", "the file has no rows".to_owned())
        } else if bad >= all {
            ("quarantine", format!("all {all} rows are bad"))
        } else if bad as f64 > maximum_quarantined * all as f64 {
            let share = 100.0 * bad as f64 / all as f64;
            (
                "quarantine",
                format!("{bad} of {all} rows are bad ({share:.1} %), more than `maximum-quarantined = {maximum_quarantined}` allows"),
            )
        } else if all - bad < *minimum_rows {
            (
                "rows",
                format!("{} good rows are fewer than `minimum-rows = {minimum_rows}`", all - bad),
            )
        } else if let Some(maximum) = maximum_rows.filter(|maximum| all > *maximum) {
            ("rows", format!("{all} rows are more than `maximum-rows = {maximum}`"))
        } else {
            return None;
        };
        Some(error_finding(check, name, message, bad))
    }

    /// Writes the good rows, by time, then key.
    pub(crate) fn write_good(&self, key: &str) -> Result<ExportedFile> {
        let order = std::iter::once(&self.dataset.time)
            .chain(&self.dataset.key)
            .map(|name| quote_identifier(name))
            .collect::<Vec<_>>()
            .join(", ");
        self.run_export(&format!("WITH {} SELECT * FROM good ORDER BY {order}", self.good_cte()), key)
    }

    fn run_export(&self, select: &str, key: &str) -> Result<ExportedFile> {
        self.sql
            .export(select, std::slice::from_ref(self.table), key)
            .map_err(|e| self.explain_error(e))
    }

    /// One column of a result.
    pub(crate) fn query_texts(&self, select: &str, column: &str) -> Result<Vec<Option<String>>> {
        let batches = tidemill_sdk::query_batches(self.sql, select, std::slice::from_ref(self.table)).map_err(|e| self.explain_error(e))?;
        let columns = batches
            .iter()
            .map(|batch| tidemill_sdk::column_text(batch, column))
            .collect::<Result<Vec<_>>>()?;
        Ok(columns.concat())
    }

    /// One row, as text by column `c0`, `c1`, ….
    pub(crate) fn query_row(&self, select: &str, width: usize) -> Result<Vec<Option<String>>> {
        let batches = tidemill_sdk::query_batches(self.sql, select, std::slice::from_ref(self.table)).map_err(|e| self.explain_error(e))?;
        let batch = batches
            .iter()
            .find(|b| b.num_rows() > 0)
            .ok_or_else(|| Error::bug("an aggregate gave no row"))?;
        (0..width)
            .map(|i| Ok(tidemill_sdk::column_text(batch, &format!("c{i}"))?.swap_remove(0)))
            .collect()
    }

    fn query_counts(&self, select: &str, width: usize) -> Result<Vec<u64>> {
        Ok(self
            .query_row(select, width)?
            .into_iter()
            .map(|n| n.and_then(|n| n.parse().ok()).unwrap_or_default())
            .collect())
    }

    /// The header was read, so what DuckDB refuses now is the contract's SQL.
    fn explain_error(&self, error: Error) -> Error {
        match error.kind {
            ErrorKind::Input | ErrorKind::Config => Error::config(format!(
                "the contract of `{}` cannot be checked; look at its patterns and `[[sql]]`: {}",
                self.dataset.name, error.message
            )),
            _ => error,
        }
    }
}

/// `a AS c0, b AS c1`.
pub(crate) fn alias_columns(expressions: &[String]) -> String {
    expressions
        .iter()
        .enumerate()
        .map(|(i, e)| format!("{e} AS c{i}"))
        .collect::<Vec<_>>()
        .join(", ")
}
