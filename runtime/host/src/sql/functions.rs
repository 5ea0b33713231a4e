//! Which functions a query may use. `functions.txt` has every function of the pinned DuckDB in a section that says what its result follows
//! from; a function that is not in the file is refused, so that an upgrade of DuckDB opens nothing.

use std::{collections::BTreeMap, sync::LazyLock};

/// The file, by name: the section of each function.
static FUNCTIONS: LazyLock<BTreeMap<&str, &str>> = LazyLock::new(|| parse(include_str!("functions.txt")));

/// The section of the functions that a query may use.
const ALLOWED: &str = "arguments";

/// Table functions that access nothing outside the query.
pub(super) const TABLE_FUNCTIONS: [&str; 7] = [
    "range",
    "generate_series",
    "unnest",
    "repeat",
    "repeat_row",
    "json_each",
    "json_tree",
];

/// Functions that SQL's grammar knows by name and `duckdb_functions()` does not list as such.
const OF_THE_GRAMMAR: [&str; 1] = ["unnest"];

/// Aggregates of a list, which take the aggregate's name as text.
pub(super) const LIST_AGGREGATES: [&str; 5] = ["list_aggregate", "list_aggr", "array_aggregate", "array_aggr", "aggregate"];

/// Words that DuckDB reads as calls where no column has their name, and the function that each calls.
pub(super) const CALLS_WITHOUT_PARENTHESES: [(&str, &str); 11] = [
    ("current_date", "current_date"),
    ("current_time", "get_current_time"),
    ("current_timestamp", "get_current_timestamp"),
    ("localtime", "current_localtime"),
    ("localtimestamp", "current_localtimestamp"),
    ("current_user", "current_user"),
    ("session_user", "session_user"),
    ("user", "user"),
    ("current_role", "current_role"),
    ("current_catalog", "current_catalog"),
    ("current_schema", "current_schema"),
];

fn parse(text: &str) -> BTreeMap<&str, &str> {
    let mut section = "";
    let mut functions = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => section = name,
            None => functions.extend(line.split_whitespace().map(|name| (name, section))),
        }
    }
    functions
}

/// Why a query may not use a function, and what to use instead; `None` if it may. `name` is in small letters.
pub(super) fn refusal(name: &str) -> Option<String> {
    if OF_THE_GRAMMAR.contains(&name) {
        return None;
    }
    let why = match FUNCTIONS.get(name).copied() {
        Some(ALLOWED) => return None,
        Some("clock") => "it sees the clock, and a run must give the same on any day: use the run's `as_of`, or a time of the data",
        Some("chance") => "it draws by chance, and a run must give the same again: order by a hash of a key and a seed, `hash(key, 42)`",
        Some("machine") => {
            "it sees the machine, or the engine and its settings, which differ from one place to another: select from the tables"
        }
        Some(_) => "it belongs to DuckDB's own plans: use the function or the cast that it stands for",
        None => {
            return Some(format!(
                "the function `{name}` does not exist, or is not among those that a query may use"
            ));
        }
    };
    Some(format!("a query may not use `{name}`: {why}"))
}

/// The refusal of a word that DuckDB read as a call, from its message that the function takes other arguments.
pub(super) fn refusal_of_call(message: &str) -> Option<String> {
    let name = message.strip_prefix("Binder Error: Macro ")?.split('(').next()?;
    let (word, _) = CALLS_WITHOUT_PARENTHESES.iter().find(|(_, function)| *function == name)?;
    Some(refusal(name)?.replacen(&format!("`{name}`"), &format!("`{word}`"), 1))
}

/// Statements that put functions which fail in front of those that [`CALLS_WITHOUT_PARENTHESES`] call: a column of such a name can be
/// selected, and the guard need not know the columns.
pub(super) fn shadow_calls() -> String {
    let shadow = |(_, function): &(&str, &str)| format!("CREATE MACRO {function}(unused) AS NULL;");
    CALLS_WITHOUT_PARENTHESES.iter().map(shadow).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use duckdb::Connection;

    use super::*;

    /// After an upgrade of DuckDB: each new function has to be put where it belongs.
    #[test]
    fn every_function_of_the_library_is_in_a_section() {
        let connection = Connection::open_in_memory().unwrap();
        let sql = "SELECT lower(function_name), bool_and(coalesce(stability, 'CONSISTENT') = 'CONSISTENT') FROM duckdb_functions() \
                   WHERE function_type IN ('scalar', 'aggregate', 'macro') GROUP BY 1";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let library: BTreeMap<String, bool> = rows.collect::<duckdb::Result<_>>().unwrap();
        let names: BTreeSet<&str> = library.keys().map(String::as_str).collect();
        let known: BTreeSet<&str> = FUNCTIONS.keys().copied().collect();
        let [new, gone]: [Vec<_>; 2] = [names.difference(&known).collect(), known.difference(&names).collect()];
        assert!(
            new.is_empty() && gone.is_empty(),
            "new in the library: {new:?}; gone from it: {gone:?}"
        );
        // What DuckDB itself says to depend on more than arguments. `error` only fails.
        let changing = library.iter().filter(|(name, is_consistent)| !**is_consistent && *name != "error");
        for (name, _) in changing {
            assert!(refusal(name).is_some(), "{name}");
        }
    }

    #[test]
    fn sections_decide() {
        for name in ["lower", "||", "+", "sum", "row_number", "list_value", "unnest", "error", "strftime"] {
            assert_eq!(refusal(name), None, "{name}");
        }
        for (name, part) in [
            ("now", "`as_of`"),
            ("sleep_ms", "the clock"),
            ("uuid", "`hash(key, 42)`"),
            ("current_setting", "the machine"),
            ("icu_collate_de", "DuckDB's own plans"),
            ("getenv", "does not exist"),
        ] {
            assert!(refusal(name).unwrap().contains(part), "{name}");
        }
        let message = "Binder Error: Macro current_localtime() does not support the supplied arguments. You might";
        assert!(refusal_of_call(message).unwrap().contains("`localtime`: it sees the clock"));
        assert_eq!(refusal_of_call("Binder Error: Macro list_sum() does not support"), None);
    }
}
