//! Profiles by SQL aggregates, over rows that never leave the engine.
//!
//! There are three passes: counts and limits; quantiles, from a sample if there are many rows; moments and the histogram. Sums are taken
//! over integers and the sample by a hash of the row, so that no order of rows or threads changes a bit.

use std::collections::BTreeMap;

use tidemill_core::{
    Result,
    record::{ColumnProfile, Profile, ProfileKind},
    spec::ColumnType,
    sql::{double_literal, quote_identifier},
};

use super::{MAX_CATEGORIES, QUANTILE_STEPS, inner_edges};

/// Number of non-null values up to which quantiles are exact; above, they come from a sample of at least half as many.
const MAX_EXACT_ROWS: u64 = 200_000;
/// The scale of the integers that are summed: values are mapped to 0 to 1 first.
const SCALE: f64 = (1u64 << 50) as f64;

/// Runs queries over the profiled rows. Each result is text, as the engine casts it; `None` is null.
pub trait ProfileQuery {
    /// Evaluates aggregate expressions over all rows, in one pass: one result for each expression.
    ///
    /// # Errors
    /// The engine's errors.
    fn aggregate(&self, expressions: &[String]) -> Result<Vec<Option<String>>>;

    /// Selects one text expression; `clauses` follow `FROM <rows>`.
    ///
    /// # Errors
    /// The engine's errors.
    fn select(&self, expression: &str, clauses: &str) -> Result<Vec<Option<String>>>;
}

/// A profile, and the results of extra expressions from the same pass over the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlProfile {
    /// The profile of all columns.
    pub profile: Profile,
    /// The results of the extra expressions, in order.
    pub extra: Vec<Option<String>>,
}

impl SqlProfile {
    /// Profiles the columns. `extra` are aggregate expressions that the first pass evaluates too.
    ///
    /// # Errors
    /// The errors of the queries.
    pub fn build(columns: &[(&str, ColumnType)], extra: &[String], rows: &dyn ProfileQuery) -> Result<Self> {
        let (mut profile, extra) = limits(columns, extra, rows)?;
        quantiles(&mut profile, rows)?;
        moments(&mut profile, rows)?;
        categories(&mut profile, rows)?;
        Ok(Self { profile, extra })
    }
}

/// A column's value as a DOUBLE expression: booleans are 0 and 1, timestamps seconds. A value that cannot be read is null.
pub(super) fn value_sql(column: &str, kind: ColumnType) -> String {
    let column = quote_identifier(column);
    match kind {
        ColumnType::Timestamp => format!("(CAST(epoch_us(TRY_CAST({column} AS TIMESTAMP)) AS DOUBLE) / 1e6::DOUBLE)"),
        ColumnType::Boolean => format!("CAST(CAST(TRY_CAST({column} AS BOOLEAN) AS INTEGER) AS DOUBLE)"),
        _ => format!("TRY_CAST({column} AS DOUBLE)"),
    }
}

/// The first pass: rows, nulls, and the limits of numbers or the number of distinct texts.
fn limits(columns: &[(&str, ColumnType)], extra: &[String], rows: &dyn ProfileQuery) -> Result<(Profile, Vec<Option<String>>)> {
    let mut expressions = vec!["count(*)".to_owned()];
    expressions.extend(columns.iter().flat_map(|(name, kind)| limits_sql(name, *kind)));
    let own = expressions.len();
    expressions.extend(extra.iter().cloned());
    let mut found = rows.aggregate(&expressions)?;
    let extra = found.split_off(own.min(found.len()));
    let mut found = found.into_iter();
    let mut next = || found.next().flatten();
    let rows = parse_count(next());
    let mut profiled = BTreeMap::new();
    for (name, kind) in columns {
        let (present, first, last) = (parse_count(next()), next(), next());
        let column = ColumnProfile {
            kind: *kind,
            nulls: rows - present,
            detail: limits_profile(*kind, present, first, last),
        };
        profiled.insert((*name).to_owned(), column);
    }
    Ok((Profile { rows, columns: profiled }, extra))
}

/// Expressions for the number of non-null values, then the smallest and the greatest, or the number of distinct values.
fn limits_sql(name: &str, kind: ColumnType) -> [String; 3] {
    let column = quote_identifier(name);
    let present = format!("count({column})");
    if kind == ColumnType::Text {
        return [present, format!("count(DISTINCT {column})"), "NULL".into()];
    }
    let value = value_sql(name, kind);
    [present, format!("min({value})"), format!("max({value})")]
}

fn limits_profile(kind: ColumnType, present: u64, first: Option<String>, last: Option<String>) -> ProfileKind {
    if kind == ColumnType::Text {
        return ProfileKind::Categorical {
            distinct: parse_count(first),
            top: Vec::new(),
            other: present,
        };
    }
    ProfileKind::Numeric {
        minimum: first.and_then(|x| x.parse().ok()),
        maximum: last.and_then(|x| x.parse().ok()),
        mean: None,
        deviation: None,
        quantiles: Vec::new(),
        edges: Vec::new(),
        counts: vec![present],
    }
}

/// The second pass: quantiles, and the edges of the histogram that follow from them.
fn quantiles(profile: &mut Profile, rows: &dyn ProfileQuery) -> Result<()> {
    let mut found = rows.aggregate(&quantiles_sql(profile))?.into_iter().skip(1);
    for column in profile.columns.values_mut() {
        if let ProfileKind::Numeric {
            minimum,
            maximum,
            quantiles,
            edges,
            ..
        } = &mut column.detail
        {
            let found = found.next().flatten();
            if let (Some(low), Some(high)) = (*minimum, *maximum) {
                *quantiles = between_limits(parse_list(found.as_deref()), low, high);
                *edges = inner_edges(quantiles.iter().copied().skip(1).take(QUANTILE_STEPS - 1), low);
            }
        }
    }
    Ok(())
}

fn quantiles_sql(profile: &Profile) -> Vec<String> {
    let share = |step: usize| format!("{}", step as f64 / QUANTILE_STEPS as f64);
    let shares = (0..=QUANTILE_STEPS).map(share).collect::<Vec<_>>().join(", ");
    let row = profile
        .columns
        .keys()
        .map(|name| quote_identifier(name))
        .collect::<Vec<_>>()
        .join(", ");
    let mut expressions = vec!["count(*)".to_owned()];
    for (name, column) in profile.columns.iter().filter(|(_, column)| column.kind != ColumnType::Text) {
        let present = profile.rows - column.nulls;
        let sample = match present / (MAX_EXACT_ROWS / 2) {
            every if present > MAX_EXACT_ROWS => format!(" FILTER (WHERE hash({row}) % {every} = 0)"),
            _ => String::new(),
        };
        let value = value_sql(name, column.kind);
        expressions.push(format!("CAST(quantile_cont({value}, [{shares}]){sample} AS VARCHAR)"));
    }
    expressions
}

/// Sets the ends of the quantiles to the true limits. The sample that they come from can be empty only if all rows are equal.
fn between_limits(mut quantiles: Vec<f64>, low: f64, high: f64) -> Vec<f64> {
    quantiles.resize(QUANTILE_STEPS + 1, high);
    (quantiles[0], quantiles[QUANTILE_STEPS]) = (low, high);
    quantiles
}

/// The third pass, which needs limits and edges: mean, deviation, histogram.
fn moments(profile: &mut Profile, rows: &dyn ProfileQuery) -> Result<()> {
    let mut found = rows.aggregate(&moments_sql(profile))?.into_iter().skip(1);
    for column in profile.columns.values_mut() {
        let present = profile.rows - column.nulls;
        if let ProfileKind::Numeric {
            minimum: Some(low),
            maximum: Some(high),
            mean,
            deviation,
            edges,
            counts,
            ..
        } = &mut column.detail
        {
            let mut next = || found.next().flatten();
            let mut share = || next().and_then(|sum| sum.parse::<f64>().ok()).unwrap_or_default() / SCALE / present as f64;
            let (first, square) = (share(), share());
            *mean = Some(*low + first * width(*low, *high));
            *deviation = Some((square - first * first).max(0.0).sqrt() * width(*low, *high));
            *counts = histogram(parse_list(next().as_deref()), edges.len(), present);
        }
    }
    Ok(())
}

fn moments_sql(profile: &Profile) -> Vec<String> {
    let mut expressions = vec!["count(*)".to_owned()];
    for (name, column) in &profile.columns {
        if let ProfileKind::Numeric {
            minimum: Some(low),
            maximum: Some(high),
            edges,
            ..
        } = &column.detail
        {
            let value = value_sql(name, column.kind);
            let unit = format!("(({value} - {}) / {})", double_literal(*low), double_literal(width(*low, *high)));
            let scaled = |e: &str| format!("CAST(sum(CAST(round({e} * {}) AS BIGINT)) AS VARCHAR)", double_literal(SCALE));
            // DuckDB's bins include their upper edge and ours their lower one, so the negated values are counted.
            let negated: Vec<String> = edges.iter().rev().map(|edge| double_literal(-edge)).collect();
            let bins = match negated.as_slice() {
                [] => "NULL".to_owned(),
                edges => format!("CAST(map_values(histogram(-{value}, [{}])) AS VARCHAR)", edges.join(", ")),
            };
            expressions.extend([scaled(&unit), scaled(&format!("{unit} * {unit}")), bins]);
        }
    }
    expressions
}

/// Counts by ascending bin, from the counts of the negated values. Values below the first edge come last there, if there are any.
fn histogram(mut negated: Vec<u64>, edges: usize, present: u64) -> Vec<u64> {
    negated.resize(edges, 0);
    negated.push(present - negated.iter().sum::<u64>());
    negated.reverse();
    negated
}

fn width(low: f64, high: f64) -> f64 {
    if high > low { high - low } else { 1.0 }
}

/// The most frequent texts: a query for each column.
fn categories(profile: &mut Profile, rows: &dyn ProfileQuery) -> Result<()> {
    for (name, column) in &mut profile.columns {
        let ProfileKind::Categorical { top, other, .. } = &mut column.detail else {
            continue;
        };
        let value = quote_identifier(name);
        let counted = format!("CAST(count(*) AS VARCHAR) || ' ' || {value}");
        let clauses = format!("WHERE {value} IS NOT NULL GROUP BY {value} ORDER BY count(*) DESC, {value} LIMIT {MAX_CATEGORIES}");
        for line in rows.select(&counted, &clauses)?.into_iter().flatten() {
            if let Some((count, value)) = line.split_once(' ') {
                let count = count.parse().unwrap_or_default();
                *other = other.saturating_sub(count);
                top.push((value.to_owned(), count));
            }
        }
    }
    Ok(())
}

fn parse_count(text: Option<String>) -> u64 {
    text.and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// Parses a list as DuckDB writes it.
fn parse_list<T: std::str::FromStr>(list: Option<&str>) -> Vec<T> {
    let inner = list.unwrap_or_default().trim_matches(['[', ']']);
    inner.split(',').filter_map(|item| item.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Answers each pass as DuckDB would, and records the expressions.
    struct Engine(RefCell<Vec<Vec<String>>>);

    impl ProfileQuery for Engine {
        fn aggregate(&self, expressions: &[String]) -> Result<Vec<Option<String>>> {
            self.0.borrow_mut().push(expressions.to_vec());
            // Three values of `x`: 1, 2, 3, and a null; two texts of `t`.
            let answer: &[&str] = match self.0.borrow().len() {
                1 => &["4", "3", "2", "", "3", "1.0", "3.0", "extra"],
                2 => &["4", "[1.0, 1.5, 2.0]"],
                // Units 0, 0.5 and 1: their sum is 1.5, of the squares 1.25.
                _ => &["4", "1688849860263936", "1407374883553280", "[1, 1]"],
            };
            Ok(answer.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect())
        }

        fn select(&self, _: &str, _: &str) -> Result<Vec<Option<String>>> {
            Ok(vec![Some("2 a b".into()), Some("1 c".into())])
        }
    }

    #[test]
    fn three_passes_make_a_profile() {
        let engine = Engine(RefCell::default());
        let columns = [("t", ColumnType::Text), ("x", ColumnType::Number)];
        let SqlProfile { profile, extra } = SqlProfile::build(&columns, &["max(y)".into()], &engine).unwrap();
        assert_eq!((profile.rows, extra), (4, vec![Some("extra".to_owned())]));
        let ProfileKind::Categorical { distinct, top, other } = &profile.columns["t"].detail else {
            panic!("text")
        };
        assert_eq!(
            (*distinct, top.as_slice(), *other),
            (2, [("a b".to_owned(), 2), ("c".to_owned(), 1)].as_slice(), 0)
        );
        let ProfileKind::Numeric {
            mean,
            quantiles,
            edges,
            counts,
            ..
        } = &profile.columns["x"].detail
        else {
            panic!("numbers")
        };
        assert_eq!((profile.columns["x"].nulls, *mean, quantiles.len()), (1, Some(2.0), 21));
        assert_eq!(
            (edges.as_slice(), counts.as_slice()),
            ([1.5, 2.0, 3.0].as_slice(), [1, 0, 1, 1].as_slice())
        );
        let asked = engine.0.into_inner();
        assert!(asked[0].contains(&"count(DISTINCT \"t\")".to_owned()) && asked[0].last().unwrap() == "max(y)");
        assert!(
            asked[1][1].starts_with("CAST(quantile_cont(TRY_CAST(\"x\" AS DOUBLE), [0, 0.05, 0.1,"),
            "{asked:?}"
        );
        assert!(asked[2][3].contains("histogram(-TRY_CAST(\"x\" AS DOUBLE), ['-3e0'::DOUBLE, '-2e0'::DOUBLE, '-1.5e0'::DOUBLE])"));
    }

    #[test]
    fn a_column_without_values_has_one_empty_bin() {
        let mut profile = Profile {
            rows: 2,
            columns: BTreeMap::from([(
                "x".to_owned(),
                ColumnProfile {
                    kind: ColumnType::Number,
                    nulls: 2,
                    detail: limits_profile(ColumnType::Number, 0, None, None),
                },
            )]),
        };
        let engine = Engine(RefCell::new(vec![vec![]]));
        quantiles(&mut profile, &engine).unwrap();
        moments(&mut profile, &engine).unwrap();
        let ProfileKind::Numeric { mean, edges, counts, .. } = &profile.columns["x"].detail else {
            panic!("numbers")
        };
        assert_eq!((*mean, edges.len(), counts.as_slice()), (None, 0, [0].as_slice()));
    }
}
