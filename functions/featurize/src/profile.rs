//! The profile of the raw feature columns, and the counts of the same bins block by block.
//!
//! In `blocks.parquet` a bin is a number: of a numeric column the index of the profile's `counts`, of a categorical one the index in
//! `top`; then comes, for categories, "other"; the last number is "missing". Bins without rows have no row.

use std::collections::{BTreeMap, HashMap};

use tidemill_core::{
    record::{ColumnProfile, Profile, ProfileKind, Signature},
    spec::ColumnType,
};
use tidemill_ml::{Columns, Values};

use crate::parts::quote_string;

/// Most bins of a number.
const BINS: usize = 50;
/// Most categories that are counted by themselves.
const TOP: usize = 200;

/// Profiles the signature's inputs.
pub(crate) fn profile(columns: &Columns, signature: &Signature) -> Profile {
    let inputs = signature
        .inputs
        .iter()
        .filter_map(|input| columns.get(&input.name).map(|values| (input.name.clone(), column(values))));
    Profile {
        rows: columns.rows() as u64,
        columns: inputs.collect(),
    }
}

fn column(values: &Values) -> ColumnProfile {
    let nulls = (0..values.len()).filter(|row| values.is_missing(*row)).count() as u64;
    let detail = if values.kind() == ColumnType::Text {
        categorical(values)
    } else {
        numeric(values)
    };
    ColumnProfile {
        kind: values.kind(),
        nulls,
        detail,
    }
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
    let mut sorted: Vec<f64> = (0..values.len())
        .map(|row| values.number(row))
        .filter(|x| !x.is_nan())
        .map(|x| x + 0.0)
        .collect();
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
        quantiles: if sorted.is_empty() {
            Vec::new()
        } else {
            (0..=20).map(|i| quantile(&sorted, f64::from(i) / 20.0)).collect()
        },
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
        let Some(edge) = sorted.get(index).copied().filter(|edge| edge.is_finite()) else {
            continue;
        };
        if edges.last().is_none_or(|last| edge > *last) && edge > sorted[0] {
            edges.push(edge);
        }
    }
    edges
}

/// A SELECT that gives `block, column, bin, count`: counted here, where the rows are, and handed to the engine as one text to write,
/// for a component cannot write Parquet. `times` are the rows' ascending event times, `blocks` start and end of each block.
pub(crate) fn blocks_sql(columns: &Columns, times: &[i64], blocks: &BTreeMap<i64, i64>, profile: &Profile) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (index, (name, column)) in profile.columns.iter().enumerate() {
        let Some(values) = columns.get(name) else { continue };
        let binned = Binned::new(column);
        for (start, end) in blocks {
            let rows = times.partition_point(|t| t < start)..times.partition_point(|t| t < end);
            let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
            for row in rows {
                *counts.entry(binned.bin(values, row)).or_default() += 1;
            }
            lines.extend(counts.iter().map(|(bin, count)| format!("{start},{},{bin},{count}", index + 1)));
        }
    }
    let names: Vec<String> = profile.columns.keys().map(|name| quote_string(name)).collect();
    format!(
        "WITH _lines AS (SELECT string_split(unnest(string_split('{}', ';')), ',') AS _line)\n\
         SELECT make_timestamp(_line[1]::BIGINT) AS block, list_extract([{}], _line[2]::BIGINT) AS \"column\", \
         _line[3]::BIGINT AS bin, _line[4]::BIGINT AS \"count\" FROM _lines ORDER BY block, \"column\", bin",
        lines.join(";"),
        names.join(", ")
    )
}

/// A column's bins, ready to be looked up.
struct Binned<'a> {
    detail: &'a ProfileKind,
    places: HashMap<&'a str, usize>,
}

impl<'a> Binned<'a> {
    fn new(column: &'a ColumnProfile) -> Self {
        let places = match &column.detail {
            ProfileKind::Categorical { top, .. } => top.iter().enumerate().map(|(index, (value, _))| (value.as_str(), index)).collect(),
            ProfileKind::Numeric { .. } => HashMap::new(),
        };
        Self {
            detail: &column.detail,
            places,
        }
    }
    fn bin(&self, values: &Values, row: usize) -> usize {
        match self.detail {
            ProfileKind::Categorical { top, .. } => match values.category(row) {
                Some(category) => self.places.get(category.as_ref()).copied().unwrap_or(top.len()),
                None => top.len() + 1,
            },
            ProfileKind::Numeric { edges, .. } => match values.number(row) {
                x if x.is_nan() => edges.len() + 1,
                x => edges.partition_point(|edge| *edge <= x),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_most_rows_share_is_one_bin() {
        let values = (0..1000)
            .map(|i| Some(if i < 900 { 0.0 } else { f64::from(i) }))
            .chain([None, Some(f64::NAN)])
            .collect();
        let profile = column(&Values::Number(values));
        assert_eq!(profile.nulls, 2);
        let ProfileKind::Numeric {
            edges, counts, quantiles, ..
        } = profile.detail
        else {
            panic!("numbers")
        };
        assert_eq!(counts.iter().sum::<u64>(), 1000);
        assert!(
            counts[0] >= 900 && edges.len() == counts.len() - 1 && edges.len() >= 4,
            "{edges:?} {counts:?}"
        );
        assert_eq!((quantiles.len(), quantiles[20]), (21, 999.0));
    }

    #[test]
    fn nothing_and_one_value_have_no_edges() {
        for values in [vec![], vec![None, None], vec![Some(3.0); 5]] {
            let ProfileKind::Numeric { edges, counts, .. } = column(&Values::Number(values)).detail else {
                panic!("numbers")
            };
            assert!(edges.is_empty() && counts.len() == 1);
        }
    }

    #[test]
    fn categories_are_counted_most_frequent_first() {
        let values = ["b", "a", "b", "it's"].map(|v| Some(v.to_owned())).to_vec();
        let ProfileKind::Categorical { top, distinct, other } = column(&Values::Text(values)).detail else {
            panic!("text")
        };
        assert_eq!((top[0].clone(), top[1].0.as_str(), distinct, other), (("b".into(), 2), "a", 3, 0));
    }

    #[test]
    fn blocks_count_every_row_once() {
        let mut columns = Columns::new();
        columns
            .push("x", Values::Number(vec![Some(1.0), None, Some(2.0), Some(3.0)]))
            .unwrap();
        columns
            .push(
                "it's",
                Values::Text(vec![Some("a".into()), Some("b".into()), None, Some("a".into())]),
            )
            .unwrap();
        let input = |(name, values): (&str, &Values)| tidemill_core::record::SignatureColumn {
            name: name.into(),
            kind: values.kind(),
            nullable: true,
        };
        let signature = Signature {
            inputs: columns.iter().map(input).collect(),
            context: vec![],
        };
        let sql = blocks_sql(
            &columns,
            &[0, 5, 10, 11],
            &BTreeMap::from([(0, 10), (10, 20)]),
            &profile(&columns, &signature),
        );
        assert!(
            sql.contains("'0,1,0,1;0,1,1,1;10,1,0,1;10,1,3,1;") || sql.contains("0,2,0,1;0,2,3,1;10,2,1,1;10,2,2,1"),
            "{sql}"
        );
        assert!(sql.contains("['it''s', 'x']"), "{sql}");
    }
}
