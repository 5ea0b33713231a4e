//! The walk over DuckDB's parse of a query: its tables, each name in its scope, and its functions.
//!
//! DuckDB looks a name up among the `WITH`s that are visible where it stands, and then in its catalogue, where it finds views of its own.
//! So a name must be decided by scope here too; and no `WITH` may have the name of such a view, in case the two ever disagree about a scope.

use std::collections::BTreeSet;

use serde_json::Value;
use tidemill_core::{Error, text::quoted_list};

use super::functions::{self, LIST_AGGREGATES, TABLE_FUNCTIONS};

/// Why a query is refused, and where, in bytes.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) error: Error,
    pub(super) at: Option<usize>,
}

type Result<T> = std::result::Result<T, Violation>;

/// What a walk knows beside the query.
pub(super) struct QueryWalk<'a> {
    /// The bound tables, in small letters.
    pub(super) tables: &'a BTreeSet<String>,
    /// The views of DuckDB's own catalogue.
    pub(super) views: &'a BTreeSet<String>,
}

/// The names of `WITH` that are visible.
#[derive(Default)]
struct Scope<'a> {
    names: Vec<String>,
    outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name) || self.outer.is_some_and(|outer| outer.contains(name))
    }
}

/// The values within a value.
pub(super) fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(map) => Box::new(map.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn violation(at: &Value, message: impl Into<String>) -> Violation {
    let location = at["query_location"].as_u64().filter(|location| *location != u64::MAX);
    Violation {
        error: Error::config(message),
        at: location.and_then(|location| location.try_into().ok()),
    }
}

fn lower(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_lowercase()
}

impl QueryWalk<'_> {
    /// Refuses a statement that reads or calls what it may not.
    pub(super) fn check(&self, statement: &Value) -> Result<()> {
        self.visit(statement, &Scope::default())
    }

    fn visit(&self, value: &Value, outer: &Scope<'_>) -> Result<()> {
        self.check_value(value, outer)?;
        if value["type"] == "TABLE_FUNCTION" {
            // The call itself was checked as a table function.
            return children(&value["function"]).try_for_each(|child| self.visit(child, outer));
        }
        let mut scope = Scope {
            names: Vec::new(),
            outer: Some(outer),
        };
        self.visit_common_tables(value, &mut scope)?;
        let recursive = match value["type"].as_str() {
            Some("RECURSIVE_CTE_NODE") => vec![self.check_name(&value["cte_name"])?],
            _ => Vec::new(),
        };
        let Value::Object(fields) = value else {
            return children(value).try_for_each(|child| self.visit(child, &scope));
        };
        for (name, child) in fields.iter().filter(|(name, _)| *name != "cte_map") {
            match name.as_str() {
                // The step of a recursion, and only that, sees the rows so far.
                "right" if !recursive.is_empty() => {
                    let step = Scope {
                        names: recursive.clone(),
                        outer: Some(&scope),
                    };
                    self.visit(child, &step)?;
                }
                _ => self.visit(child, &scope)?,
            }
        }
        Ok(())
    }

    /// Visits the queries of a `WITH`. Each sees those before it, and not itself.
    fn visit_common_tables(&self, value: &Value, scope: &mut Scope<'_>) -> Result<()> {
        for entry in value["cte_map"]["map"].as_array().into_iter().flatten() {
            let name = self.check_name(&entry["key"])?;
            self.visit(&entry["value"], scope)?;
            scope.names.push(name);
        }
        Ok(())
    }

    /// The name of a `WITH`, in small letters.
    fn check_name(&self, name: &Value) -> Result<String> {
        let name = lower(name);
        let is_word = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-$".contains(c));
        if is_word && !self.views.contains(&name) {
            return Ok(name);
        }
        let why = match is_word {
            true => "DuckDB's catalogue has a view of this name",
            false => "it consists of letters, digits and `_`",
        };
        Err(violation(
            &Value::Null,
            format!("a query may not call a `WITH` `{name}`: {why}; choose another name"),
        ))
    }

    fn check_value(&self, value: &Value, scope: &Scope<'_>) -> Result<()> {
        match value["type"].as_str() {
            Some("BASE_TABLE") => self.check_table(value, scope)?,
            Some("TABLE_FUNCTION") => check_table_function(value)?,
            Some("SHOW_REF") if value["show_type"] != "DESCRIBE" => {
                return Err(violation(
                    value,
                    "a query may not use SHOW or SUMMARIZE: select from the table itself, or from `(DESCRIBE name)`",
                ));
            }
            Some("PARAMETER" | "VALUE_PARAMETER") => {
                return Err(violation(
                    value,
                    "a query may not have parameters (`?`, `$1`): write the values into it",
                ));
            }
            _ => {}
        }
        if matches!(value["class"].as_str(), Some("FUNCTION" | "WINDOW")) {
            check_function(value)?;
        }
        if !value["sample"].is_null() {
            return Err(violation(
                value,
                "a query may not use SAMPLE: a run must follow from its inputs; filter by a hash of a key instead",
            ));
        }
        Ok(())
    }

    fn check_table(&self, value: &Value, scope: &Scope<'_>) -> Result<()> {
        let name = lower(&value["table_name"]);
        let is_plain = lower(&value["schema_name"]).is_empty() && lower(&value["catalog_name"]).is_empty();
        if is_plain && (self.tables.contains(&name) || scope.contains(&name)) {
            return Ok(());
        }
        let message = format!(
            "a query may not read `{}`: it is none of its tables, which are {}, and no `WITH` that is visible there; \
             files are bound to names by the stage, never read by path",
            value["table_name"].as_str().unwrap_or(""),
            quoted_list(self.tables)
        );
        Err(violation(value, message))
    }
}

fn check_table_function(value: &Value) -> Result<()> {
    let name = lower(&value["function"]["function_name"]);
    if TABLE_FUNCTIONS.contains(&name.as_str()) {
        return Ok(());
    }
    let message = format!(
        "a query may not use the table function `{name}`: allowed are {}; files are bound to names by the stage, never read by path",
        quoted_list(TABLE_FUNCTIONS)
    );
    Err(violation(value, message))
}

fn check_function(value: &Value) -> Result<()> {
    let name = lower(&value["function_name"]);
    if let Some(message) = functions::refusal(&name) {
        return Err(violation(value, message));
    }
    let arguments = value["children"].as_array().map_or(&[][..], Vec::as_slice);
    // `column.age()` has its first argument in the place of a schema.
    let is_plain = matches!(value["schema"].as_str(), None | Some("" | "main"));
    if name == "age" && !(is_plain && arguments.len() == 2) {
        let message = "a query may not use `age` with one argument: it sees the clock; write `age(later, earlier)` with a time of the data";
        return Err(violation(value, message));
    }
    if LIST_AGGREGATES.contains(&name.as_str()) {
        let aggregate = arguments.get(1).filter(|argument| is_plain && argument["class"] == "CONSTANT");
        let Some(aggregate) = aggregate.and_then(|argument| argument["value"]["value"].as_str()) else {
            let message = format!("a query may use `{name}` only with the aggregate's name as text: `{name}(list, 'sum')`");
            return Err(violation(value, message));
        };
        if let Some(message) = functions::refusal(&aggregate.to_lowercase()) {
            return Err(violation(value, message));
        }
    }
    Ok(())
}
