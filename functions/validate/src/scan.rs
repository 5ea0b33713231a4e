//! The scan: all checks are counted in one pass over the file. Individual rows are read only if something is bad: see `findings` and
//! `quarantine`.

use tidemill_core::{
    Error, ErrorKind, ExportedFile, Format, Result, Severity, Sql, Table,
    spec::Dataset,
    sql::{quote_identifier, quote_identifiers},
};

use crate::{
    checks::{Check, raw_column},
    header::FileColumns,
    values::{raw_sql, typed_sql},
};

/// A file with its checks counted.
pub(crate) struct Scan<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) columns: &'a FileColumns,
    table: &'a Table,
    sql: &'a dyn Sql,
    /// The checks that at least one row fails, in the contract's order.
    pub(crate) failed: Vec<FailedCheck>,
    /// Number of rows that could be read, good or bad.
    pub(crate) rows: u64,
    /// Number of lines that are not CSV with the file's header.
    pub(crate) malformed_lines: u64,
}

/// A check that at least one row fails.
pub(crate) struct FailedCheck {
    pub(crate) check: Check,
    /// Number of rows that fail it.
    pub(crate) count: u64,
    /// Whether the share of passing rows is enough for the check's `mostly`.
    pub(crate) tolerated: bool,
}

impl FailedCheck {
    fn new(check: Check, count: u64, population: u64) -> Self {
        let passing = population.saturating_sub(count) as f64;
        Self {
            tolerated: check.mostly < 1.0 && passing >= check.mostly * population as f64,
            check,
            count,
        }
    }

    /// Whether the failing rows go to quarantine.
    pub(crate) fn sends_to_quarantine(&self) -> bool {
        !self.tolerated && self.check.severity == Severity::Error
    }
}

impl<'a> Scan<'a> {
    /// Counts the rows that fail each check.
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
        let counts: Vec<String> = std::iter::once("count(*)".to_owned())
            .chain(checks.iter().flat_map(|check| [check.failures_sql(), check.population_sql.clone()]))
            .collect();
        let select = format!("WITH {} SELECT {} FROM typed", scan.typed_cte(false), alias_columns(&counts));
        let found = scan.query_counts(&select, counts.len())?;
        scan.rows = found.first().copied().unwrap_or_default();
        if table.format == Format::Csv {
            scan.malformed_lines = scan.query_counts("SELECT count(*) AS c0 FROM raw__rejects", 1)?[0];
        }
        scan.failed = checks
            .into_iter()
            .zip(found[1..].chunks_exact(2))
            .filter(|(_, counts)| counts[0] > 0)
            .map(|(check, counts)| FailedCheck::new(check, counts[0], counts[1]))
            .collect();
        Ok(scan)
    }

    /// The common table expression `typed`: the contract's columns, typed, with the file's own values beside them. If rows are `numbered`,
    /// it also has all columns of the file as text, for the quarantine.
    pub(crate) fn typed_cte(&self, numbered: bool) -> String {
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

    /// The common table expression `good`, with those that it needs: the contract's columns of the rows that pass.
    pub(crate) fn good_cte(&self) -> String {
        let names = quote_identifiers(self.dataset.contract.columns.keys());
        let bad = self.quarantining_checks();
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

    /// The checks whose failing rows go to quarantine.
    pub(crate) fn quarantining_checks(&self) -> Vec<&FailedCheck> {
        self.failed.iter().filter(|failed| failed.sends_to_quarantine()).collect()
    }

    /// Writes the good rows, ordered by time, then key.
    pub(crate) fn write_good(&self, key: &str) -> Result<ExportedFile> {
        let order = quote_identifiers(std::iter::once(&self.dataset.time).chain(&self.dataset.key));
        self.run_export(&format!("WITH {} SELECT * FROM good ORDER BY {order}", self.good_cte()), key)
    }

    pub(crate) fn run_export(&self, select: &str, key: &str) -> Result<ExportedFile> {
        self.sql
            .export(select, std::slice::from_ref(self.table), key)
            .map_err(|e| self.explain_error(e))
    }

    /// Runs a SELECT and returns one column as text.
    pub(crate) fn query_texts(&self, select: &str, column: &str) -> Result<Vec<Option<String>>> {
        let batches = tidemill_sdk::query_batches(self.sql, select, std::slice::from_ref(self.table)).map_err(|e| self.explain_error(e))?;
        let columns = batches
            .iter()
            .map(|batch| tidemill_sdk::column_text(batch, column))
            .collect::<Result<Vec<_>>>()?;
        Ok(columns.concat())
    }

    /// Runs a SELECT and returns its first row as text; the columns are `c0`, `c1`, ….
    pub(crate) fn query_row(&self, select: &str, width: usize) -> Result<Vec<Option<String>>> {
        let batches = tidemill_sdk::query_batches(self.sql, select, std::slice::from_ref(self.table)).map_err(|e| self.explain_error(e))?;
        let batch = batches
            .iter()
            .find(|b| b.num_rows() > 0)
            .ok_or_else(|| Error::bug("an aggregate returned no row"))?;
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

    /// The header was readable, so SQL that DuckDB rejects now is the contract's.
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

/// Expressions as columns: `a AS c0, b AS c1`.
pub(crate) fn alias_columns(expressions: &[String]) -> String {
    expressions
        .iter()
        .enumerate()
        .map(|(i, e)| format!("{e} AS c{i}"))
        .collect::<Vec<_>>()
        .join(", ")
}
