//! Whether the rows of a query, and their order, are the same on any number of threads.

use std::collections::BTreeSet;

use serde_json::Value;

use super::walk::children;

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

/// Whether the result of a node is certainly the same on any number of threads: a plain scan, or orderless aggregates with ordered groups.
/// `aggregates` are the names of all DuckDB aggregates.
pub(super) fn is_orderless(node: &Value, aggregates: &BTreeSet<String>) -> bool {
    let modifiers = node["modifiers"].as_array().map_or(&[][..], Vec::as_slice);
    let has_groups = node["group_expressions"].as_array().is_some_and(|groups| !groups.is_empty());
    let is_ordered = modifiers.iter().any(|modifier| modifier["type"] == "ORDER_MODIFIER");
    let is_simple = modifiers.iter().all(|modifier| modifier["type"] == "ORDER_MODIFIER") && (!is_ordered || has_groups);
    node["type"] == "SELECT_NODE" && is_simple && (!has_groups || is_ordered) && is_orderless_within(node, aggregates, true)
}

fn is_orderless_within(value: &Value, aggregates: &BTreeSet<String>, is_top: bool) -> bool {
    let is_kind = |kinds: &[&str]| value["type"].as_str().is_some_and(|kind| kinds.contains(&kind));
    if is_kind(&["JOIN", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE", "PIVOT", "SHOW_REF"]) || value["class"] == "WINDOW" {
        return false;
    }
    if !is_top && is_kind(&["SELECT_NODE"]) && !is_orderless(value, aggregates) {
        return false;
    }
    let name = value["function_name"].as_str().unwrap_or("").to_lowercase();
    if aggregates.contains(&name) && !ORDERLESS_AGGREGATES.contains(&name.as_str()) {
        return false;
    }
    children(value).all(|child| is_orderless_within(child, aggregates, false))
}
