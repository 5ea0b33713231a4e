//! Checks of a guest's SQL: exactly one SELECT, over its bound tables, without functions that observe the machine.
//!
//! DuckDB itself parses the SQL (`json_serialize_sql` accepts only SELECTs), so that no second grammar can disagree about where a statement
//! ends. The lock on the instance is a second line of defence; the messages come from here.

use std::collections::BTreeSet;

use duckdb::Connection;
use serde_json::Value;
use tidemill_core::{Error, Result, text::quoted_list};

use super::error;

/// Table functions that access nothing outside the query.
const TABLE_FUNCTIONS: [&str; 5] = ["range", "generate_series", "unnest", "repeat", "repeat_row"];

/// Functions that observe the machine, the clock or randomness: with them, a run would not depend on its inputs alone.
const FORBIDDEN_FUNCTIONS: [(&str, &[&str]); 3] = [
    (
        "the clock: use the run's `as_of`",
        &[
            "now",
            "current_timestamp",
            "current_date",
            "current_time",
            "today",
            "get_current_time",
            "get_current_timestamp",
            "transaction_timestamp",
            "localtime",
            "localtimestamp",
            "current_localtime",
            "current_localtimestamp",
        ],
    ),
    (
        "chance: order by a hash of a key instead",
        &["random", "setseed", "uuid", "gen_random_uuid", "uuidv4", "uuidv7"],
    ),
    (
        "the machine or the engine's settings",
        &[
            "getenv",
            "current_setting",
            "getvariable",
            "current_user",
            "session_user",
            "current_database",
            "current_schema",
            "current_schemas",
            "current_catalog",
            "current_query",
            "current_query_id",
            "current_connection_id",
            "current_transaction_id",
            "txid_current",
            "version",
            "nextval",
            "currval",
            "set_config",
            "write_log",
            "in_search_path",
            "get_block_size",
            "which_secret",
            "json_execute_serialized_sql",
            "json_serialize_sql",
            "json_serialize_plan",
            "read_text",
            "read_blob",
            "glob",
            "parse_duckdb_log_message",
        ],
    ),
];

/// Aggregates whose result depends neither on the order of rows nor on how threads divide them.
const ORDERLESS_AGGREGATES: [&str; 22] = [
    "count",
    "count_star",
    "count_if",
    "countif",
    "min",
    "max",
    "bool_and",
    "bool_or",
    "bit_and",
    "bit_or",
    "bit_xor",
    "median",
    "quantile",
    "quantile_disc",
    "quantile_cont",
    "mad",
    "histogram",
    "approx_count_distinct",
    "sum_no_overflow",
    "any_true",
    "all_true",
    "histogram_exact",
];

/// Properties of a query that are known before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueryShape {
    /// Whether the rows, and their order, are the same on any number of threads.
    pub(super) is_orderless: bool,
}

/// Refuses everything but one harmless SELECT over `tables`. `aggregates` are the names of all DuckDB aggregates.
pub(super) fn check(connection: &Connection, sql: &str, tables: &BTreeSet<String>, aggregates: &BTreeSet<String>) -> Result<QueryShape> {
    let parsed = parse(connection, sql)?;
    if parsed["error"] == Value::Bool(true) {
        return Err(parse_error(sql, &parsed));
    }
    let statements = parsed["statements"].as_array().map_or(&[][..], Vec::as_slice);
    let [statement] = statements else {
        return Err(Error::config(format!(
            "a query must be exactly one SELECT, this is {} statements: `{}`",
            statements.len(),
            abbreviate(sql)
        )));
    };
    let mut names = BTreeSet::new();
    collect_cte_names(statement, &mut names);
    let walk = QueryWalk {
        tables,
        common: names,
        aggregates,
    };
    walk.visit(statement)?;
    Ok(QueryShape {
        is_orderless: walk.is_orderless(&statement["node"]),
    })
}

fn parse(connection: &Connection, sql: &str) -> Result<Value> {
    let text: String = connection
        .query_row("SELECT json_serialize_sql(?::VARCHAR)", [sql], |row| row.get(0))
        .map_err(|e| error::from_duckdb(&e, &[]))?;
    serde_json::from_str(&text).map_err(|e| Error::bug(format!("DuckDB's parse of a query is not JSON: {e}")))
}

/// Where a query stops being SQL, in bytes; `None` if it can be parsed.
pub(super) fn syntax_error_offset(connection: &Connection, sql: &str) -> Option<usize> {
    let parsed = parse(connection, sql).ok()?;
    // DuckDB counts characters.
    let position: usize = parsed["position"].as_str()?.parse().ok()?;
    sql.char_indices().nth(position).map(|(at, _)| at)
}

fn parse_error(sql: &str, parsed: &Value) -> Error {
    let message = parsed["error_message"].as_str().unwrap_or("");
    if error::is_not_select(parsed["error_type"].as_str().unwrap_or(""), message) {
        return Error::config(format!(
            "a query must be exactly one SELECT (or WITH … SELECT): no COPY, ATTACH, INSTALL, SET, PRAGMA or change of a table; this is `{}`",
            abbreviate(sql)
        ));
    }
    Error::config(format!("a query cannot be parsed: {message}; it is `{}`", abbreviate(sql)))
}

fn abbreviate(sql: &str) -> String {
    let flat = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &flat[..end]),
        None => flat,
    }
}

/// Collects the names that the query gives to its own subqueries, at any depth.
fn collect_cte_names(value: &Value, names: &mut BTreeSet<String>) {
    if let Some(map) = value["cte_map"]["map"].as_array() {
        names.extend(map.iter().filter_map(|entry| entry["key"].as_str()).map(str::to_lowercase));
    }
    if let Some(name) = value["cte_name"].as_str().or_else(|| value["ctename"].as_str()) {
        names.insert(name.to_lowercase());
    }
    children(value).for_each(|child| collect_cte_names(child, names));
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(map) => Box::new(map.values()),
        _ => Box::new(std::iter::empty()),
    }
}

struct QueryWalk<'a> {
    tables: &'a BTreeSet<String>,
    common: BTreeSet<String>,
    aggregates: &'a BTreeSet<String>,
}

impl QueryWalk<'_> {
    fn visit(&self, value: &Value) -> Result<()> {
        match value["type"].as_str() {
            Some("BASE_TABLE") => self.check_table(value)?,
            Some("TABLE_FUNCTION") => self.check_table_function(value)?,
            Some("SHOW_REF") if value["show_type"] != "DESCRIBE" => {
                return Err(Error::config(
                    "a query may not use SHOW or SUMMARIZE: select from the table itself, or from `(DESCRIBE name)`",
                ));
            }
            Some("PARAMETER" | "VALUE_PARAMETER") => {
                return Err(Error::config(
                    "a query may not have parameters (`?`, `$1`): write the values into it",
                ));
            }
            _ => {}
        }
        if value["class"] == "FUNCTION" {
            self.check_function(value["function_name"].as_str().unwrap_or(""))?;
        }
        if value["class"] == "COLUMN_REF"
            && let Some([only]) = value["column_names"].as_array().map(Vec::as_slice)
            && let Some(name) = only.as_str().filter(|name| CLOCK_WORDS.contains(&name.to_lowercase().as_str()))
        {
            self.check_function(name)?;
        }
        if !value["sample"].is_null() {
            return Err(Error::config(
                "a query may not use SAMPLE: a run must follow from its inputs; filter by a hash of a key instead",
            ));
        }
        children(value).try_for_each(|child| self.visit(child))
    }

    fn check_table(&self, value: &Value) -> Result<()> {
        let part = |name: &str| value[name].as_str().unwrap_or("").to_lowercase();
        let name = part("table_name");
        let is_plain = part("schema_name").is_empty() && part("catalog_name").is_empty();
        let is_word = name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$' || c == '-');
        if is_plain && (self.tables.contains(&name) || (self.common.contains(&name) && is_word)) {
            return Ok(());
        }
        Err(Error::config(format!(
            "a query may not read `{}`: it is none of its tables, which are {}; files are bound to names by the stage, never read by path",
            value["table_name"].as_str().unwrap_or(""),
            quoted_list(self.tables)
        )))
    }

    fn check_table_function(&self, value: &Value) -> Result<()> {
        let name = value["function"]["function_name"].as_str().unwrap_or("").to_lowercase();
        if TABLE_FUNCTIONS.contains(&name.as_str()) {
            return Ok(());
        }
        Err(Error::config(format!(
            "a query may not use the table function `{name}`: allowed are {}; files are bound to names by the stage, never read by path",
            TABLE_FUNCTIONS.map(|name| format!("`{name}`")).join(", ")
        )))
    }

    fn check_function(&self, name: &str) -> Result<()> {
        let lower = name.to_lowercase();
        let why = FORBIDDEN_FUNCTIONS
            .iter()
            .find(|(_, names)| names.contains(&lower.as_str()))
            .map(|(why, _)| *why);
        match why {
            None => Ok(()),
            Some(why) => Err(Error::config(format!("a query may not use `{lower}`: it sees {why}"))),
        }
    }

    /// Whether the result is certainly the same on any number of threads: a plain scan, or orderless aggregates with ordered groups.
    fn is_orderless(&self, node: &Value) -> bool {
        let modifiers = node["modifiers"].as_array().map_or(&[][..], Vec::as_slice);
        let has_groups = node["group_expressions"].as_array().is_some_and(|groups| !groups.is_empty());
        let is_ordered = modifiers.iter().any(|modifier| modifier["type"] == "ORDER_MODIFIER");
        let is_simple = modifiers.iter().all(|modifier| modifier["type"] == "ORDER_MODIFIER") && (!is_ordered || has_groups);
        node["type"] == "SELECT_NODE" && is_simple && (!has_groups || is_ordered) && self.is_orderless_within(node, true)
    }

    fn is_orderless_within(&self, value: &Value, is_top: bool) -> bool {
        let is_kind = |kinds: &[&str]| value["type"].as_str().is_some_and(|kind| kinds.contains(&kind));
        if is_kind(&["JOIN", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE", "PIVOT", "SHOW_REF"]) || value["class"] == "WINDOW" {
            return false;
        }
        if !is_top && is_kind(&["SELECT_NODE"]) && !self.is_orderless(value) {
            return false;
        }
        let name = value["function_name"].as_str().unwrap_or("").to_lowercase();
        if self.aggregates.contains(&name) && !ORDERLESS_AGGREGATES.contains(&name.as_str()) {
            return false;
        }
        children(value).all(|child| self.is_orderless_within(child, false))
    }
}

/// Words that DuckDB reads as function calls although they have no parentheses.
const CLOCK_WORDS: [&str; 5] = ["current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"];
