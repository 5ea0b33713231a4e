//! The profile of the raw feature columns, and the counts of the same bins block by block.
//!
//! A bin in `blocks.parquet` is a number, assigned by [`Bins`]: `monitor` counts predictions by the same numbers. Empty bins have no row.

use std::collections::{BTreeMap, HashMap};

use tidemill_core::{
    ColumnValues,
    record::{ColumnProfile, Profile, Signature},
    spec::ColumnType,
    sql::quote_string,
};
use tidemill_ml::Columns;
use tidemill_stats::profile::{Bins, categorical_profile, numeric_profile};

/// Profiles the signature's inputs.
pub(crate) fn profile_features(columns: &Columns, signature: &Signature) -> Profile {
    let inputs = signature
        .inputs
        .iter()
        .filter_map(|input| columns.get(&input.name).map(|values| (input.name.clone(), profile_column(values))));
    Profile {
        rows: columns.rows() as u64,
        columns: inputs.collect(),
    }
}

fn profile_column(values: &ColumnValues) -> ColumnProfile {
    let rows = 0..values.len();
    ColumnProfile {
        kind: values.column_type(),
        nulls: rows.clone().filter(|row| values.is_missing(*row)).count() as u64,
        detail: match values.column_type() {
            ColumnType::Text => categorical_profile(rows.filter_map(|row| values.category(row))),
            _ => numeric_profile(rows.map(|row| values.number(row))),
        },
    }
}

/// Returns a SELECT of `block, column, bin, count`. The rows are counted here, in memory, and the counts are passed to the engine as one
/// text, because a component cannot write Parquet. `times` are the rows' ascending event times, and `blocks` the start and end of each
/// block.
pub(crate) fn blocks_sql(columns: &Columns, times: &[i64], blocks: &BTreeMap<i64, i64>, profile: &Profile) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (index, (name, column)) in profile.columns.iter().enumerate() {
        let Some(values) = columns.get(name) else { continue };
        let lookup = BinLookup::new(column);
        for (start, end) in blocks {
            let rows = times.partition_point(|t| t < start)..times.partition_point(|t| t < end);
            let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
            for row in rows {
                *counts.entry(lookup.bin(values, row)).or_default() += 1;
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

/// A column's bins, with an index of its categories.
struct BinLookup {
    bins: Bins,
    categories: HashMap<String, usize>,
}

impl BinLookup {
    fn new(column: &ColumnProfile) -> Self {
        let bins = Bins::from_profile(column);
        let categories = bins.category_bins().map(|(category, bin)| (category.to_owned(), bin)).collect();
        Self { bins, categories }
    }

    fn bin(&self, values: &ColumnValues, row: usize) -> usize {
        if self.bins.is_ordered() {
            return self.bins.number_bin(values.number(row));
        }
        match values.category(row) {
            Some(category) => self.categories.get(category.as_ref()).copied().unwrap_or(self.bins.other_bin()),
            None => self.bins.missing_bin(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_numbers_are_nulls() {
        let profile = profile_column(&ColumnValues::Number(vec![Some(1.0), None, Some(f64::NAN)]));
        assert_eq!((profile.kind, profile.nulls), (ColumnType::Number, 2));
    }

    #[test]
    fn blocks_count_every_row_once() {
        let mut columns = Columns::new();
        columns
            .push("x", ColumnValues::Number(vec![Some(1.0), None, Some(2.0), Some(3.0)]))
            .unwrap();
        columns
            .push(
                "it's",
                ColumnValues::Text(vec![Some("a".into()), Some("b".into()), None, Some("a".into())]),
            )
            .unwrap();
        let input = |(name, values): (&str, &ColumnValues)| tidemill_core::record::SignatureColumn {
            name: name.into(),
            kind: values.column_type(),
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
            &profile_features(&columns, &signature),
        );
        assert!(
            sql.contains("'0,1,0,1;0,1,1,1;10,1,0,1;10,1,3,1;") || sql.contains("0,2,0,1;0,2,3,1;10,2,1,1;10,2,2,1"),
            "{sql}"
        );
        assert!(sql.contains("['it''s', 'x']"), "{sql}");
    }
}
