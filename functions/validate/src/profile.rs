//! The profile of the good rows, and the assertions about the part as a whole.
//!
//! Sums are taken over integers, so that no order of rows or threads changes a bit of the mean.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidemill_core::{
    Error, Finding, Result,
    record::{ColumnProfile, Profile, ProfileKind},
    spec::{Assertion, ColumnType},
};

use crate::{
    scan::{Scan, aliased},
    values::{number, quoted},
};

/// Most values listed of a category.
const TOP: usize = 200;
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
    let time = quoted(&scan.dataset.time);
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
                subject: scan.dataset.name.clone(),
                severity: part.severity,
                message,
                count: rows,
            });
        }
    }
    let mut columns = BTreeMap::new();
    for (name, column) in &contract.columns {
        let (present, spread) = (count(next()), next());
        let detail = match column.kind {
            ColumnType::Text => ProfileKind::Categorical {
                distinct: count(spread),
                top: Vec::new(),
                other: present,
            },
            _ => numbers(spread),
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
    second(scan, &mut profile)?;
    categories(scan, &mut profile)?;
    Ok(Good {
        profile,
        from,
        until,
        failed,
    })
}

fn query(scan: &Scan<'_>, select: &[String]) -> Result<Vec<Option<String>>> {
    scan.row(&format!("WITH {} SELECT {} FROM good", scan.good(), aliased(select)), select.len())
}

/// A column's values as DOUBLE.
fn double(name: &str, kind: ColumnType) -> String {
    let name = quoted(name);
    match kind {
        ColumnType::Timestamp => format!("(CAST(epoch_us({name}) AS DOUBLE) / 1e6::DOUBLE)"),
        ColumnType::Boolean => format!("CAST(CAST({name} AS INTEGER) AS DOUBLE)"),
        _ => format!("CAST({name} AS DOUBLE)"),
    }
}

/// Non-null values, and their quantiles or number of distinct ones.
fn first(name: &str, kind: ColumnType) -> [String; 2] {
    let present = format!("count({})", quoted(name));
    if kind == ColumnType::Text {
        return [present, format!("count(DISTINCT {})", quoted(name))];
    }
    let shares = (0..=20).map(|i| format!("{}", f64::from(i) / 20.0)).collect::<Vec<_>>().join(", ");
    [
        present,
        format!("CAST(quantile_cont({}, [{shares}]) AS VARCHAR)", double(name, kind)),
    ]
}

fn numbers(quantiles: Option<String>) -> ProfileKind {
    let list = quantiles.unwrap_or_default();
    let quantiles: Vec<f64> = list
        .trim_matches(['[', ']'])
        .split(',')
        .filter_map(|x| x.trim().parse().ok())
        .collect();
    let mut edges = Vec::new();
    for edge in quantiles.iter().copied().skip(1).take(19) {
        if edges.last().is_none_or(|last| edge > *last) && edge > quantiles[0] {
            edges.push(edge);
        }
    }
    let (minimum, maximum) = (quantiles.first().copied(), quantiles.last().copied());
    ProfileKind::Numeric {
        minimum,
        maximum,
        mean: None,
        deviation: None,
        quantiles,
        edges,
        counts: Vec::new(),
    }
}

/// The pass that needs to know the first one's answer: mean, deviation, histogram.
fn second(scan: &Scan<'_>, profile: &mut Profile) -> Result<()> {
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
            let unit = format!("(({value} - {}) / {})", number(*low), number(width(*low, *high)));
            let scaled = |e: &str| format!("CAST(sum(CAST(round({e} * {}) AS BIGINT)) AS VARCHAR)", number(SCALE));
            select.extend([scaled(&unit), scaled(&format!("{unit} * {unit}"))]);
            select.extend(
                edges
                    .iter()
                    .map(|edge| format!("count(*) FILTER (WHERE {value} < {})", number(*edge))),
            );
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
            let below: Vec<u64> = edges.iter().map(|_| count(row.next().flatten())).chain([present]).collect();
            *counts = below.iter().scan(0, |before, n| Some(n - std::mem::replace(before, *n))).collect();
        } else if let ProfileKind::Numeric { counts, .. } = &mut column.detail {
            *counts = vec![0];
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
        let value = quoted(name);
        let select = format!(
            "WITH {} SELECT CAST(count(*) AS VARCHAR) || ' ' || {value} AS c0 FROM good WHERE {value} IS NOT NULL \
             GROUP BY {value} ORDER BY count(*) DESC, {value} LIMIT {TOP}",
            scan.good()
        );
        for line in scan.texts(&select, "c0")?.into_iter().flatten() {
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
