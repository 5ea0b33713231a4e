//! Plans a query over tables that have no rows: what is wrong with it is known before there is data, and where.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tidemill_core::{Error, sql::quote_identifier};

use super::{
    error,
    guard::{self, Catalog},
    job::EmptyTable,
    session::Session,
};

/// A table by its columns.
#[derive(Debug, Clone)]
pub struct TableShape<'a> {
    /// The table's name in the query.
    pub name: &'a str,
    /// Names and SQL types.
    pub columns: Vec<(&'a str, &'static str)>,
}

/// Why a query cannot be planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanError {
    /// The reason.
    pub error: Error,
    /// Where in the query, in bytes, if DuckDB says so.
    pub span: Option<Range<usize>>,
}

impl From<Error> for PlanError {
    fn from(error: Error) -> Self {
        Self { error, span: None }
    }
}

/// The columns of a query's result, without running it. Refuses what a stage's query is refused for.
pub(super) fn plan(session: &Session, sql: &str, tables: &[EmptyTable], catalog: &Catalog) -> Result<Vec<String>, PlanError> {
    for (name, columns) in tables {
        let column = |(name, kind): &(String, String)| format!("CAST(NULL AS {kind}) AS {}", quote_identifier(name));
        let columns: Vec<String> = columns.iter().map(column).collect();
        let view = format!(
            "CREATE TEMP VIEW {} AS SELECT {} WHERE false",
            quote_identifier(name),
            columns.join(", ")
        );
        session.execute_batch(&view).map_err(|e| error::from_duckdb(&e, &[]))?;
    }
    let names = tables.iter().map(|(name, _)| name.to_lowercase()).collect();
    guard::check(session, sql, &names, catalog).map_err(|violation| PlanError {
        span: violation.at.map(|at| word_at(sql, at)),
        error: violation.error,
    })?;
    // By itself first: the places in DuckDB's messages are the query's own.
    session.prepare(sql).map(drop).map_err(|e| plan_error(&e, sql))?;
    list_columns(session, sql).map_err(|e| plan_error(&e, sql))
}

fn list_columns(session: &Session, sql: &str) -> duckdb::Result<Vec<String>> {
    // A view, since a query may end in a semicolon and a comment.
    session.execute_batch(&format!("CREATE TEMP VIEW __planned AS {sql}"))?;
    let mut statement = session.prepare("SELECT column_name FROM (DESCRIBE __planned)")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn plan_error(failure: &duckdb::Error, sql: &str) -> PlanError {
    let text = match failure {
        duckdb::Error::DuckDBFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    let find = |(number, rest): (usize, &str)| {
        let start: usize = sql.split_inclusive('\n').take(number.checked_sub(1)?).map(str::len).sum();
        let line = sql.get(start..)?.split('\n').next()?;
        Some(word_at(sql, start + line.find(rest)?))
    };
    PlanError {
        error: error::from_duckdb(failure, &[]),
        span: error::marked_place(&text).and_then(find),
    }
}

/// The word that begins at an offset.
fn word_at(sql: &str, start: usize) -> Range<usize> {
    let rest = sql.get(start..).unwrap_or_default();
    let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    start..start + length.max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{SqlEngine, SqlOptions};

    /// Plans a query, and returns the columns, or the message and the marked part of the query.
    fn plan(sql: &str) -> Result<Vec<String>, (String, Option<String>)> {
        let folder = tempfile::tempdir().unwrap();
        let engine = SqlEngine::new(SqlOptions {
            cache_dir: folder.path().to_owned(),
            memory_bytes: 128 << 20,
            threads: 1,
            timeout: Duration::from_secs(10),
        })
        .unwrap();
        let table = TableShape {
            name: "readings",
            columns: vec![("id", "BIGINT"), ("at", "TIMESTAMP"), ("level", "DOUBLE")],
        };
        let marked = |error: PlanError| (error.error.message, error.span.map(|span| sql[span].to_owned()));
        engine.plan(sql, &[table]).map_err(marked)
    }

    #[test]
    fn a_query_has_its_columns() {
        let columns = plan("-- all of it\nSELECT id, \"at\", level * 2 AS twice FROM readings; -- the end\n");
        assert_eq!(columns.unwrap(), ["id", "at", "twice"]);
        let columns = plan("WITH high AS (SELECT * FROM readings WHERE level > 1) SELECT id FROM high");
        assert_eq!(columns.unwrap(), ["id"]);
    }

    #[test]
    fn a_mistake_has_a_place() {
        for (sql, part, marked) in [
            ("SELECT id,\n  lvel * 2 AS x\nFROM readings", "lvel", Some("lvel")),
            ("SELECT id\nFROM reading", "", Some("reading")),
            ("SELECT nofun(id)\nFROM readings", "`nofun` does not exist", Some("nofun")),
            ("SELECT (id\nFROM readings", "syntax error", Some("FROM")),
            ("SELECT now() FROM readings", "clock", Some("now")),
            (
                "SELECT id,\n  current_date AS today FROM readings",
                "`current_date`: it sees the clock",
                None,
            ),
            ("DROP VIEW readings", "exactly one SELECT", None),
        ] {
            let (message, place) = plan(sql).unwrap_err();
            assert!(message.contains(part), "{sql}: {message}");
            if marked.is_some() {
                assert_eq!(place.as_deref(), marked, "{sql}: {message}");
            }
        }
        let many: Vec<String> = (0..60).map(|n| format!("level AS level_{n}")).collect();
        let sql = format!("SELECT {}, lvel FROM readings", many.join(", "));
        assert_eq!(
            plan(&sql).unwrap_err().1.as_deref(),
            Some("lvel"),
            "DuckDB shows a part of a long line"
        );
    }
}
