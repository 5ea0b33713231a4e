//! The profile of the raw feature columns, and the SQL that counts the same bins block by block.
//!
//! In `blocks.parquet` a bin is a number: of a numeric column the index of the profile's `counts`, of a categorical one the index in
//! `top`; then comes, for categories, "other"; the last number is "missing". Bins without rows have no row.

use std::collections::{BTreeMap, HashMap};

use tidemill_core::{
    record::{ColumnProfile, Profile, ProfileKind, Signature},
    spec::ColumnType,
};
use tidemill_ml::{Columns, Values};

use crate::parts::{literal, quoted};

/// Most bins of a number.
const BINS: usize = 50;
/// Most categories that are counted by themselves.
const TOP: usize = 200;

/// Profiles the signature's inputs.
pub(crate) fn profile(columns: &Columns, signature: &Signature) -> Profile {
    let inputs = signature.inputs.iter().filter_map(|input| columns.get(&input.name).map(|values| (input.name.clone(), column(values))));
    Profile { rows: columns.rows() as u64, columns: inputs.collect() }
}

fn column(values: &Values) -> ColumnProfile {
    let nulls = (0..values.len()).filter(|row| values.is_missing(*row)).count() as u64;
    let detail = if values.kind() == ColumnType::Text { categorical(values) } else { numeric(values) };
    ColumnProfile { kind: values.kind(), nulls, detail }
}

fn categorical(values: &Values) -> ProfileKind {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for category in (0..values.len()).filter_map(|row| values.category(row)) {
        match counts.get_mut(category.as_ref()) {
            Some(count) => *count += 1,
            None => _ = counts.insert(category.into_owned(), 1),
        }
    }
    let distinct = counts.len() as u64;
    let mut top: Vec<(String, u64)> = counts.into_iter().collect();
    top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let other = top.iter().skip(TOP).map(|(_, count)| count).sum();
    top.truncate(TOP);
    ProfileKind::Categorical { distinct, top, other }
}

fn numeric(values: &Values) -> ProfileKind {
    let mut sorted: Vec<f64> = (0..values.len()).map(|row| values.number(row)).filter(|x| !x.is_nan()).map(|x| x + 0.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let rows = sorted.len() as f64;
    let mean = (!sorted.is_empty()).then(|| sorted.iter().sum::<f64>() / rows);
    let deviation = mean.map(|mean| (sorted.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / rows).sqrt());
    let edges = edges(&sorted);
    let mut counts = vec![0; edges.len() + 1];
    for value in &sorted {
        counts[edges.partition_point(|edge| edge <= value)] += 1;
    }
    ProfileKind::Numeric {
        minimum: sorted.first().copied(),
        maximum: sorted.last().copied(),
        mean,
        deviation,
        quantiles: if sorted.is_empty() { Vec::new() } else { (0..=20).map(|i| quantile(&sorted, f64::from(i) / 20.0)).collect() },
        edges,
        counts,
    }
}

/// Linear interpolation, as NumPy does by default; `sorted` is not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    if low == high { low } else { low + (high - low) * position.fract() }
}

/// Values that cut the rows into about equal bins, ascending and distinct. A value that many rows share is a bin of its own.
fn edges(sorted: &[f64]) -> Vec<f64> {
    let mut edges: Vec<f64> = Vec::new();
    for bin in 1..BINS {
        let index = sorted.len() * bin / BINS;
        let Some(edge) = sorted.get(index).copied().filter(|edge| edge.is_finite()) else { continue };
        if edges.last().is_none_or(|last| edge > *last) && edge > sorted[0] {
            edges.push(edge);
        }
    }
    edges
}

/// `block, column, bin, count` over `_features`, for the blocks given as start and end in microseconds.
pub(crate) fn blocks_sql(with: &str, time: &str, blocks: &BTreeMap<i64, i64>, profile: &Profile) -> String {
    let spans = blocks.iter().map(|(start, end)| format!("({start}, {end})")).collect::<Vec<_>>().join(", ");
    let time = quoted(time);
    let counts = profile.columns.iter().map(|(name, column)| {
        let bin = bin_sql(name, column);
        format!("SELECT _block, {} AS \"column\", {bin} AS bin, count(*) AS \"count\" FROM _blocked GROUP BY ALL", literal(name))
    });
    let counts = counts.collect::<Vec<_>>().join("\nUNION ALL ");
    format!(
        "{with}, _spans(_start, _end) AS (VALUES {spans}), _blocked AS (\n    SELECT make_timestamp(_start::BIGINT) AS _block, _features.*\n    \
         FROM _features JOIN _spans ON epoch_us({time}) >= _start AND epoch_us({time}) < _end\n), _counted AS (\n{counts}\n)\n\
         SELECT _block AS block, \"column\", bin::BIGINT AS bin, \"count\" FROM _counted ORDER BY block, \"column\", bin"
    )
}

fn bin_sql(name: &str, column: &ColumnProfile) -> String {
    let name = quoted(name);
    match &column.detail {
        ProfileKind::Categorical { top, .. } => {
            let branch = |(index, (value, _)): (usize, &(String, u64))| format!(" WHEN {} THEN {index}", literal(value));
            let branches: String = top.iter().enumerate().map(branch).collect();
            let other = top.len();
            // CASE without a WHEN is not SQL; a column without a value has only missing rows.
            if top.is_empty() { format!("{}", other + 1) } else { format!("CASE WHEN {name} IS NULL THEN {} ELSE CASE {name}{branches} ELSE {other} END END", other + 1) }
        }
        ProfileKind::Numeric { edges, .. } => {
            let value = match column.kind {
                ColumnType::Timestamp => format!("epoch_us({name})::DOUBLE / 1e6"),
                ColumnType::Boolean => format!("{name}::INTEGER::DOUBLE"),
                _ => format!("{name}::DOUBLE"),
            };
            let branch = |(index, edge): (usize, &f64)| format!(" WHEN {value} < '{edge:e}'::DOUBLE THEN {index}");
            let branches: String = edges.iter().enumerate().map(branch).collect();
            let last = edges.len();
            format!("CASE WHEN {name} IS NULL OR isnan({value}) THEN {}{branches} ELSE {last} END", last + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_most_rows_share_is_one_bin() {
        let values = (0..1000).map(|i| Some(if i < 900 { 0.0 } else { f64::from(i) })).chain([None, Some(f64::NAN)]).collect();
        let profile = column(&Values::Number(values));
        assert_eq!(profile.nulls, 2);
        let ProfileKind::Numeric { edges, counts, quantiles, .. } = profile.detail else { panic!("numbers") };
        assert_eq!(counts.iter().sum::<u64>(), 1000);
        assert!(counts[0] >= 900 && edges.len() == counts.len() - 1 && edges.len() >= 4, "{edges:?} {counts:?}");
        assert_eq!((quantiles.len(), quantiles[20]), (21, 999.0));
    }

    #[test]
    fn nothing_and_one_value_have_no_edges() {
        for values in [vec![], vec![None, None], vec![Some(3.0); 5]] {
            let ProfileKind::Numeric { edges, counts, .. } = column(&Values::Number(values)).detail else { panic!("numbers") };
            assert!(edges.is_empty() && counts.len() == 1);
        }
    }

    #[test]
    fn categories_are_counted_most_frequent_first() {
        let values = ["b", "a", "b", "it's"].map(|v| Some(v.to_owned())).to_vec();
        let ProfileKind::Categorical { top, distinct, other } = column(&Values::Text(values)).detail else { panic!("text") };
        assert_eq!((top[0].clone(), top[1].0.as_str(), distinct, other), (("b".into(), 2), "a", 3, 0));
    }
}
