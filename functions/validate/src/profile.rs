//! The profile of the good rows, and the assertions about the part as a whole.
//!
//! Three passes: counts and limits; quantiles, of many rows those of a sample; moments and the histogram. Sums are taken over integers
//! and the sample by a hash of the row, so that no order of rows or threads changes a bit.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidemill_core::{
    Error, Finding, Result,
    record::{ColumnProfile, Profile, ProfileKind},
    spec::{Assertion, ColumnType},
};

use crate::{
    scan::{Scan, alias_columns},
    values::{double_literal, quote_identifier},
};

/// Most values listed of a category.
const TOP: usize = 200;
/// Non-null values up to which quantiles are exact; of more, they are those of a sample of at least half as many.
const EXACT: u64 = 200_000;
/// Scale of the integers that are summed: values are taken between 0 and 1.
const SCALE: f64 = (1u64 << 50) as f64;

/// What is known of the good rows.
pub(crate) struct Good {
    pub(crate) profile: Profile,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    /// Assertions that do not hold.
    pub(crate) failed: Vec<Finding>,
}

/// Profiles the good rows. There is at least one.
pub(crate) fn of(scan: &Scan<'_>) -> Result<Good> {
    let contract = &scan.dataset.contract;
    let time = quote_identifier(&scan.dataset.time);
    let parts: Vec<_> = contract.sql.iter().filter(|a| matches!(a.assertion, Assertion::Part(_))).collect();
    let mut select: Vec<String> = vec![
        "count(*)".into(),
        format!("epoch_us(min({time}))"),
        format!("epoch_us(max({time}))"),
    ];
    for part in &parts {
        if let Assertion::Part(sql) = &part.assertion {
            select.push(format!("CAST(({sql}) AS BOOLEAN)"));
        }
    }
    for (name, column) in &contract.columns {
        select.extend(first(name, column.kind));
    }
    let mut row = query(scan, &select)?.into_iter();
    let mut next = move || row.next().flatten();
    let rows = count(next());
    let (from, until) = (instant(next())?, instant(next())?);
    let mut failed = Vec::new();
    for part in parts {
        if next().is_some_and(|held| held == "false")
            && let Assertion::Part(sql) = &part.assertion
        {
            let message = format!("false for the part: `{sql}`");
            failed.push(Finding {
                check: part.name.clone(),
                target: scan.dataset.name.clone(),
                severity: part.severity,
                message,
                count: rows,
            });
        }
    }
    let mut columns = BTreeMap::new();
    for (name, column) in &contract.columns {
        let (present, first, last) = (count(next()), next(), next());
        let detail = match column.kind {
            ColumnType::Text => ProfileKind::Categorical {
                distinct: count(first),
                top: Vec::new(),
                other: present,
            },
            _ => ProfileKind::Numeric {
                minimum: first.and_then(|x| x.parse().ok()),
                maximum: last.and_then(|x| x.parse().ok()),
                mean: None,
                deviation: None,
                quantiles: Vec::new(),
                edges: Vec::new(),
                counts: vec![present],
            },
        };
        columns.insert(
            name.clone(),
            ColumnProfile {
                kind: column.kind,
                nulls: rows - present,
                detail,
            },
        );
    }
    let mut profile = Profile { rows, columns };
    quantiles(scan, &mut profile)?;
    shape(scan, &mut profile)?;
    categories(scan, &mut profile)?;
    Ok(Good {
        profile,
        from,
        until,
        failed,
    })
}

fn query(scan: &Scan<'_>, select: &[String]) -> Result<Vec<Option<String>>> {
    scan.query_row(
        &format!("WITH {} SELECT {} FROM good", scan.good_cte(), alias_columns(select)),
        select.len(),
    )
}

/// A column's values as DOUBLE.
fn double(name: &str, kind: ColumnType) -> String {
    let name = quote_identifier(name);
    match kind {
        ColumnType::Timestamp => format!("(CAST(epoch_us({name}) AS DOUBLE) / 1e6::DOUBLE)"),
        ColumnType::Boolean => format!("CAST(CAST({name} AS INTEGER) AS DOUBLE)"),
        _ => format!("CAST({name} AS DOUBLE)"),
    }
}

/// Non-null values, then the least and the greatest, or the number of distinct ones.
fn first(name: &str, kind: ColumnType) -> [String; 3] {
    let present = format!("count({})", quote_identifier(name));
    if kind == ColumnType::Text {
        return [present, format!("count(DISTINCT {})", quote_identifier(name)), "NULL".into()];
    }
    let value = double(name, kind);
    [present, format!("min({value})"), format!("max({value})")]
}

/// Quantiles, and the edges of the histogram that follow from them.
fn quantiles(scan: &Scan<'_>, profile: &mut Profile) -> Result<()> {
    let shares = (0..=20).map(|i| format!("{}", f64::from(i) / 20.0)).collect::<Vec<_>>().join(", ");
    let row: Vec<String> = profile.columns.keys().map(|name| quote_identifier(name)).collect();
    let mut select = vec!["count(*)".to_owned()];
    for (name, column) in &profile.columns {
        let present = profile.rows - column.nulls;
        let sample = match present / (EXACT / 2) {
            every if present > EXACT => format!(" FILTER (WHERE hash({}) % {every} = 0)", row.join(", ")),
            _ => String::new(),
        };
        if column.kind != ColumnType::Text {
            select.push(format!(
                "CAST(quantile_cont({}, [{shares}]){sample} AS VARCHAR)",
                double(name, column.kind)
            ));
        }
    }
    let mut found = query(scan, &select)?.into_iter().skip(1);
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
                *quantiles = listed(found, low, high);
                *edges = inner(quantiles);
            }
        }
    }
    Ok(())
}

/// A list as DuckDB writes it, between the true limits. A sample may be empty only if all rows are equal.
fn listed(text: Option<String>, low: f64, high: f64) -> Vec<f64> {
    let mut list = numbers(text.as_deref());
    list.resize(21, high);
    (list[0], list[20]) = (low, high);
    list
}

fn numbers<T: std::str::FromStr>(list: Option<&str>) -> Vec<T> {
    let inner = list.unwrap_or_default().trim_matches(['[', ']']);
    inner.split(',').filter_map(|x| x.trim().parse().ok()).collect()
}

fn inner(quantiles: &[f64]) -> Vec<f64> {
    let mut edges: Vec<f64> = Vec::new();
    for edge in quantiles.iter().copied().skip(1).take(19) {
        if edges.last().is_none_or(|last| edge > *last) && edge > quantiles[0] {
            edges.push(edge);
        }
    }
    edges
}

/// What needs to know limits and edges: mean, deviation, histogram.
fn shape(scan: &Scan<'_>, profile: &mut Profile) -> Result<()> {
    let mut select = vec!["count(*)".to_owned()];
    for (name, column) in &profile.columns {
        if let ProfileKind::Numeric {
            minimum: Some(low),
            maximum: Some(high),
            edges,
            ..
        } = &column.detail
        {
            let value = double(name, column.kind);
            let unit = format!("(({value} - {}) / {})", double_literal(*low), double_literal(width(*low, *high)));
            let scaled = |e: &str| format!("CAST(sum(CAST(round({e} * {}) AS BIGINT)) AS VARCHAR)", double_literal(SCALE));
            // DuckDB's bins hold their upper edge and ours their lower one: counted over the negated values.
            let negated: Vec<String> = edges.iter().rev().map(|edge| double_literal(-edge)).collect();
            let bins = match negated.as_slice() {
                [] => "NULL".to_owned(),
                edges => format!("CAST(map_values(histogram(-{value}, [{}])) AS VARCHAR)", edges.join(", ")),
            };
            select.extend([scaled(&unit), scaled(&format!("{unit} * {unit}")), bins]);
        }
    }
    let mut row = query(scan, &select)?.into_iter().skip(1);
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
            let mut share = || row.next().flatten().and_then(|n| n.parse::<f64>().ok()).unwrap_or_default() / SCALE / present as f64;
            let (first, square) = (share(), share());
            *mean = Some(*low + first * width(*low, *high));
            *deviation = Some((square - first * first).max(0.0).sqrt() * width(*low, *high));
            let mut above: Vec<u64> = numbers(row.next().flatten().as_deref());
            // What is below the first edge stands last, if there is any.
            above.resize(edges.len(), 0);
            above.push(present - above.iter().sum::<u64>());
            above.reverse();
            *counts = above;
        }
    }
    Ok(())
}

fn width(low: f64, high: f64) -> f64 {
    if high > low { high - low } else { 1.0 }
}

fn categories(scan: &Scan<'_>, profile: &mut Profile) -> Result<()> {
    for (name, column) in &mut profile.columns {
        let ProfileKind::Categorical { top, other, .. } = &mut column.detail else {
            continue;
        };
        let value = quote_identifier(name);
        let select = format!(
            "WITH {} SELECT CAST(count(*) AS VARCHAR) || ' ' || {value} AS c0 FROM good WHERE {value} IS NOT NULL \
             GROUP BY {value} ORDER BY count(*) DESC, {value} LIMIT {TOP}",
            scan.good_cte()
        );
        for line in scan.query_texts(&select, "c0")?.into_iter().flatten() {
            if let Some((n, value)) = line.split_once(' ') {
                let n = n.parse().unwrap_or_default();
                *other = other.saturating_sub(n);
                top.push((value.to_owned(), n));
            }
        }
    }
    Ok(())
}

fn count(text: Option<String>) -> u64 {
    text.and_then(|n| n.parse().ok()).unwrap_or_default()
}

fn instant(text: Option<String>) -> Result<Timestamp> {
    let micros = text
        .and_then(|n| n.parse().ok())
        .ok_or_else(|| Error::bug("no good row has an event time"))?;
    Timestamp::from_microsecond(micros).map_err(|_| Error::input(format!("event time {micros} µs is out of range")))
}
