//! Checks of a guest's SQL: exactly one SELECT, over its bound tables, with functions whose results follow from their arguments.
//!
//! DuckDB itself parses the SQL (`json_serialize_sql` accepts only SELECTs), so that no second grammar can disagree about where a statement
//! ends. The lock on the instance is a second line of defence; the messages come from here. Needs a stack of [`STACK_SIZE`]: a sum of 500
//! terms is a thousand levels of JSON.
//!
//! [`STACK_SIZE`]: super::instances::STACK_SIZE

use std::collections::BTreeSet;

use duckdb::Connection;
use serde::Deserialize as _;
use serde_json::Value;
use tidemill_core::{Error, Result};

use super::{
    error,
    orderless::is_orderless,
    walk::{QueryWalk, Violation},
};

/// Levels of DuckDB's JSON that are read. DuckDB itself refuses expressions of more than 1000 levels, which are up to four each in JSON.
const MAX_DEPTH: usize = 10_000;

/// Properties of a query that are known before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueryShape {
    /// Whether the rows, and their order, are the same on any number of threads.
    pub(super) is_orderless: bool,
}

/// Names of DuckDB's own, as far as the checks need them.
#[derive(Debug)]
pub(super) struct Catalog {
    /// All aggregates.
    pub(super) aggregates: BTreeSet<String>,
    /// All views.
    pub(super) views: BTreeSet<String>,
}

impl Catalog {
    pub(super) fn read(connection: &Connection) -> Result<Self> {
        let list = |sql: &str| -> Result<BTreeSet<String>> {
            let failed = |e: duckdb::Error| Error::bug(format!("DuckDB does not list its own names: {e}"));
            let mut statement = connection.prepare(sql).map_err(failed)?;
            let names = statement.query_map([], |row| row.get(0)).map_err(failed)?;
            names.collect::<duckdb::Result<_>>().map_err(failed)
        };
        Ok(Self {
            aggregates: list("SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE function_type = 'aggregate'")?,
            views: list("SELECT DISTINCT lower(view_name) FROM duckdb_views() WHERE internal AND schema_name <> 'information_schema'")?,
        })
    }
}

/// Refuses everything but one harmless SELECT over `tables`.
pub(super) fn check(
    connection: &Connection,
    sql: &str,
    tables: &BTreeSet<String>,
    catalog: &Catalog,
) -> std::result::Result<QueryShape, Violation> {
    let parsed = parse(connection, sql)?;
    if parsed["error"] == Value::Bool(true) {
        return Err(parse_error(sql, &parsed));
    }
    let statements = parsed["statements"].as_array().map_or(&[][..], Vec::as_slice);
    let [statement] = statements else {
        return Err(Violation::new(format!(
            "a query must be exactly one SELECT, this is {} statements: `{}`",
            statements.len(),
            abbreviate(sql)
        )));
    };
    let walk = QueryWalk {
        tables,
        views: &catalog.views,
    };
    walk.check(statement)?;
    Ok(QueryShape {
        is_orderless: is_orderless(&statement["node"], &catalog.aggregates),
    })
}

impl Violation {
    fn new(message: impl Into<String>) -> Self {
        Self {
            error: Error::config(message),
            at: None,
        }
    }

    /// The error of a query that is refused, with the place.
    pub(super) fn into_error(self, sql: &str) -> Error {
        let Some(before) = self.at.and_then(|at| sql.get(..at)) else {
            return self.error;
        };
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let message = format!("{}; it is in line {line}, column {column} of the query", self.error.message);
        Error::new(self.error.kind, message)
    }
}

fn parse(connection: &Connection, sql: &str) -> std::result::Result<Value, Violation> {
    let text: String = connection
        .query_row("SELECT json_serialize_sql(?::VARCHAR)", [sql], |row| row.get(0))
        .map_err(|e| Violation {
            error: error::from_duckdb(&e, &[]),
            at: None,
        })?;
    let depth = depth(&text);
    if depth > MAX_DEPTH {
        return Err(Violation::new(format!(
            "a query is nested too deeply ({depth} levels, at most {MAX_DEPTH} are read): name its parts in a `WITH`; it is `{}`",
            abbreviate(sql)
        )));
    }
    let mut reader = serde_json::Deserializer::from_str(&text);
    reader.disable_recursion_limit();
    Value::deserialize(&mut reader).map_err(|e| Violation::new(format!("a query cannot be checked, its parse by DuckDB is not JSON: {e}")))
}

/// Levels of objects and lists in a JSON text.
fn depth(text: &str) -> usize {
    let (mut depth, mut greatest) = (0_usize, 0);
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => {
                depth += 1;
                greatest = greatest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    greatest
}

fn parse_error(sql: &str, parsed: &Value) -> Violation {
    let message = parsed["error_message"].as_str().unwrap_or("");
    if error::is_not_select(parsed["error_type"].as_str().unwrap_or(""), message) {
        return Violation::new(format!(
            "a query must be exactly one SELECT (or WITH … SELECT): no COPY, ATTACH, INSTALL, SET, PRAGMA or change of a table; this is `{}`",
            abbreviate(sql)
        ));
    }
    let message = error::depth_message(message).unwrap_or_else(|| format!("a query cannot be parsed: {message}"));
    // DuckDB counts characters here, and bytes elsewhere.
    let position = parsed["position"].as_str().and_then(|position| position.parse().ok());
    Violation {
        error: Error::config(format!("{message}; it is `{}`", abbreviate(sql))),
        at: position.and_then(|position| sql.char_indices().nth(position)).map(|(at, _)| at),
    }
}

/// The beginning of a query, in one line.
pub(super) fn abbreviate(sql: &str) -> String {
    let flat = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &flat[..end]),
        None => flat,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guard over the real parser, with the table `rows`.
    fn refusal(sql: &str) -> Option<String> {
        let sql = sql.to_owned();
        let thread = std::thread::Builder::new()
            .stack_size(super::super::instances::STACK_SIZE)
            .spawn(move || {
                let connection = Connection::open_in_memory().unwrap();
                let catalog = Catalog::read(&connection).unwrap();
                let checked = check(&connection, &sql, &BTreeSet::from(["rows".to_owned()]), &catalog);
                checked.err().map(|violation| violation.into_error(&sql).message)
            });
        thread.unwrap().join().unwrap()
    }

    #[test]
    fn honest_sql_passes() {
        let repeat = |part: &str, between: &str, times: usize| vec![part; times].join(between);
        for sql in [
            "SELECT * FROM rows",
            "WITH a AS (SELECT 1 AS x), b AS (SELECT * FROM a) SELECT * FROM b, A",
            "WITH a AS (SELECT 1 AS x) SELECT (SELECT max(x) FROM a) FROM rows UNION ALL SELECT * FROM a",
            "SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a)",
            "WITH RECURSIVE t AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM t WHERE i < 5) SELECT max(i) FROM t",
            "WITH rows AS (SELECT 1 AS x) SELECT x FROM rows",
            "SELECT localtime, r.current_date, \"user\" FROM rows r",
            "SELECT age(a, b), list_aggregate([1, 2], 'sum'), [x + 1 FOR x IN [1, 2]], {'a': 1}, a ILIKE 'b%' FROM rows",
            "SELECT extract(year FROM t), t AT TIME ZONE 'UTC', a || b, 2 ** 3, 5!, coalesce(a, b), if(a, b, c) FROM rows",
            "SELECT row_number() OVER (ORDER BY a), sum(b) OVER (), percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM rows GROUP BY ALL",
            "SELECT unnest([1, 2]), position('a' IN b), a SIMILAR TO 'b', grouping(a) FROM rows GROUP BY CUBE (a)",
            "SELECT * FROM rows, LATERAL (SELECT rows.a), range(3), json_each('[1]')",
            "SELECT * FROM (PIVOT rows ON v IN (0, 1) USING count(*))",
            "SELECT * FROM (DESCRIBE rows)",
            "SELECT a COLLATE NOCASE, try_cast(a AS DATE), DATE '2024-01-01', INTERVAL 3 DAY FROM rows ORDER BY a COLLATE de",
        ] {
            assert_eq!(refusal(sql), None, "{sql}");
        }
        for sql in [
            format!("SELECT {} FROM rows", repeat("a", " + ", 500)),
            format!("SELECT {} FROM rows", repeat("a", " || ", 500)),
            format!("SELECT {}a{} FROM rows", "replace(".repeat(60), ", 'a', 'b')".repeat(60)),
            format!(
                "SELECT {}a{} FROM rows",
                "CASE WHEN a > 1 THEN 1 ELSE ".repeat(500),
                " END".repeat(500)
            ),
            format!("SELECT * FROM rows WHERE {}", repeat("a > 0", " AND ", 5000)),
        ] {
            assert_eq!(refusal(&sql), None, "{}", abbreviate(&sql));
        }
    }

    #[test]
    fn what_is_outside_is_refused_by_name_and_place() {
        let deep = format!("SELECT {} FROM rows", vec!["a"; 20_000].join(" + "));
        for (sql, parts) in [
            // A name counts where it is visible.
            (
                "SELECT setting FROM pg_settings WHERE (WITH pg_settings AS (SELECT 1) SELECT 1) = 1",
                &["`pg_settings`"][..],
            ),
            (
                "SELECT 1 FROM x WHERE (WITH x AS (SELECT 1) SELECT 1) = 1",
                &["may not read `x`", "column 15"],
            ),
            ("SELECT * FROM (WITH a AS (SELECT 1) SELECT 1), a", &["may not read `a`"]),
            (
                "(WITH a AS (SELECT 1) SELECT * FROM a) UNION ALL SELECT * FROM a",
                &["may not read `a`"],
            ),
            (
                "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a",
                &["may not read `b`"],
            ),
            (
                "WITH duckdb_logs AS (SELECT * FROM duckdb_logs) SELECT * FROM duckdb_logs",
                &["`duckdb_logs`"],
            ),
            ("WITH a AS (SELECT * FROM a) SELECT * FROM a", &["may not read `a`"]),
            ("WITH RECURSIVE a AS (SELECT * FROM a) SELECT * FROM a", &["may not read `a`"]),
            (
                "WITH pg_class AS (SELECT 1) SELECT * FROM (DESCRIBE pg_class)",
                &["a view of this name"],
            ),
            ("SELECT * FROM sqlite_master", &["may not read `sqlite_master`", "which are `rows`"]),
            ("SELECT * FROM rows POSITIONAL JOIN pg_settings", &["`pg_settings`"]),
            ("SELECT * FROM main.rows", &["`rows`"]),
            ("SELECT * FROM (DESCRIBE databases)", &["SHOW"]),
            ("SELECT * FROM (SUMMARIZE rows)", &["SUMMARIZE"]),
            // What does not follow from arguments.
            ("SELECT 'é',\n  now()", &["`now`", "`as_of`", "line 2, column 3"]),
            ("SELECT system.main.now()", &["`now`"]),
            ("SELECT age(t) FROM rows", &["`age` with one argument", "column 8"]),
            ("SELECT t.age() FROM rows", &["`age` with one argument"]),
            ("SELECT pg_catalog.age(t) FROM rows", &["`age` with one argument"]),
            ("SELECT t.age(t, t) FROM rows", &["`age` with one argument"]),
            ("SELECT sleep_ms(1)", &["`sleep_ms`"]),
            ("SELECT random()", &["`random`", "chance", "`hash(key, 42)`"]),
            ("SELECT reservoir_quantile(a, 0.5) FROM rows", &["`reservoir_quantile`"]),
            ("SELECT list_aggregate([1], 'reservoir_quantile', 0.5)", &["`reservoir_quantile`"]),
            ("SELECT list_aggregate([1], 's' || 'um')", &["name as text"]),
            ("SELECT a.list_aggregate('sum') FROM rows", &["name as text"]),
            ("SELECT current_setting('threads')", &["`current_setting`", "the machine"]),
            ("SELECT main.current_user()", &["`current_user`"]),
            ("SELECT pg_postmaster_start_time()", &["the clock"]),
            ("SELECT write_log('x')", &["`write_log`"]),
            ("SELECT json_serialize_sql('SELECT 1')", &["`json_serialize_sql`"]),
            ("SELECT getenv('HOME')", &["`getenv`", "does not exist"]),
            ("SELECT nothing(1)", &["the function `nothing` does not exist"]),
            ("SELECT * FROM query('SELECT 1')", &["table function `query`"]),
            ("SELECT max(x) OVER (), * FROM rows USING SAMPLE 3", &["SAMPLE"]),
            (deep.as_str(), &["1000 levels", "`WITH`"]),
        ] {
            let message = refusal(sql).unwrap_or_else(|| panic!("{} passed", abbreviate(sql)));
            assert!(parts.iter().all(|part| message.contains(part)), "{}: {message}", abbreviate(sql));
        }
    }

    #[test]
    fn levels_are_counted_outside_of_texts() {
        assert_eq!(depth(r#"{"a": [1, {"b": "[[[ \" {{"}], "c": {}}"#), 3);
        assert_eq!(depth("1"), 0);
    }
}
