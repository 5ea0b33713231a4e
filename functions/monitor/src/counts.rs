//! Counts of predictions by column, block and bin: DuckDB counts, and returns one row per bin.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use jiff::Timestamp;
use tidemill_core::{Host, Result, Table, spec::Model, time::Span};
use tidemill_stats::{BlockCounts, profile::Bins};

use crate::read;

/// The table of a window's predictions, and its columns.
pub(crate) struct PredictionTable {
    pub(crate) table: Table,
    pub(crate) columns: Vec<String>,
}

/// A source to select from: each prediction once, even if two files hold it.
pub(crate) const DISTINCT_PREDICTIONS: &str = "(SELECT DISTINCT ON (\"_id\") * FROM predictions ORDER BY \"_id\", \"_served_at\")";

/// Counts by column, then block, then bin.
pub(crate) type Counts = Vec<BTreeMap<i64, Vec<u64>>>;

/// Counts bins by block, in one pass over the rows of `from`, which must have `_time`.
pub(crate) fn count_bins(tables: &[Table], from: &str, columns: &[(String, Bins)], model: &Model, host: &dyn Host) -> Result<Counts> {
    if columns.is_empty() {
        return Ok(Counts::new());
    }
    let list = |items: Vec<String>| items.join(", ");
    let binned = list(columns.iter().map(|(name, bins)| bins.bin_sql(name)).collect());
    let indices = list((0..columns.len()).map(|i| i.to_string()).collect());
    let sql = format!(
        "SELECT block, CAST(feature AS BIGINT) AS feature, CAST(bin AS BIGINT) AS bin, count(*) AS count FROM (\
         SELECT CAST({} AS BIGINT) AS block, unnest([{indices}]) AS feature, unnest([{binned}]) AS bin FROM {from} WHERE \"_time\" IS NOT NULL\
         ) GROUP BY ALL ORDER BY ALL",
        block_sql(model.monitor.block)?
    );
    let batches = read::query(host, &sql, tables)?;
    let index = read::integers(&batches, "feature")?;
    gather_counts(&index, &batches, columns)
}

/// Collects counts from rows of `block`, `bin` and `count`; `index` is the column of each row.
pub(crate) fn gather_counts(index: &[Option<i64>], batches: &[RecordBatch], columns: &[(String, Bins)]) -> Result<Counts> {
    let blocks = read::integers(batches, "block")?;
    let (bins, counts) = (read::integers(batches, "bin")?, read::integers(batches, "count")?);
    let mut gathered: Counts = vec![BTreeMap::new(); columns.len()];
    for (((index, block), bin), count) in index.iter().zip(blocks).zip(bins).zip(counts) {
        let (Some(index), Some(block), Some(count)) = (index.and_then(|i| usize::try_from(i).ok()), block, count) else {
            continue;
        };
        let bins = &columns[index].1;
        if let Some(bin) = bin.and_then(|bin| bins.index_of(bin)) {
            gathered[index].entry(block).or_insert_with(|| vec![0; bins.count()])[bin] += count.unsigned_abs();
        }
    }
    Ok(gathered)
}

/// Pairs the counts of both sides by column. Every column gets all blocks of its side, in the same order.
pub(crate) fn pair_counts(columns: Vec<(String, Bins)>, reference: Counts, current: Counts) -> Vec<(String, BlockCounts)> {
    let (reference, current) = (complete_blocks(reference, &columns), complete_blocks(current, &columns));
    columns
        .into_iter()
        .zip(reference.into_iter().zip(current))
        .map(|((name, bins), (reference, current))| {
            let ordered = bins.is_ordered();
            (
                name,
                BlockCounts {
                    ordered,
                    reference,
                    current,
                },
            )
        })
        .collect()
}

/// `[columns][blocks][bins]`; a block in which a column has no rows counts 0.
fn complete_blocks(counts: Counts, columns: &[(String, Bins)]) -> Vec<Vec<Vec<u64>>> {
    let blocks: BTreeSet<i64> = counts.iter().flat_map(|column| column.keys().copied()).collect();
    let complete = |(mut column, (_, bins)): (BTreeMap<i64, Vec<u64>>, &(String, Bins))| {
        let block = |block: &i64| column.remove(block).unwrap_or_else(|| vec![0; bins.count()]);
        blocks.iter().map(block).collect()
    };
    counts.into_iter().zip(columns).map(complete).collect()
}

/// An SQL expression for the number of the block that contains `_time`.
pub(crate) fn block_sql(block: Span) -> Result<String> {
    // A span exposes its count and unit only as text.
    let text = block.to_string();
    let (count, unit) = text.split_once(' ').unwrap_or(("1", "day"));
    let count = count.parse::<i64>().unwrap_or(1).max(1);
    if unit.starts_with("month") {
        return Ok(format!("((year(\"_time\") - 1970) * 12 + month(\"_time\") - 1) // {count}"));
    }
    let start = block.window_start(Timestamp::UNIX_EPOCH);
    let length = block.next_window(start).as_microsecond() - start.as_microsecond();
    Ok(format!(
        "CAST(floor((epoch_us(\"_time\") - ({})) / CAST({length} AS DOUBLE)) AS BIGINT)",
        start.as_microsecond()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_start_on_monday() {
        let sql = block_sql(Span::parse("1 week").unwrap()).unwrap();
        assert!(sql.contains("(-259200000000)") && sql.contains("604800000000"), "{sql}");
    }

    #[test]
    fn every_column_has_all_blocks_of_its_side() {
        let bins = || Bins::Categories(vec!["a".into()]);
        let columns = vec![("x".to_owned(), bins()), ("y".to_owned(), bins())];
        let reference = vec![BTreeMap::from([(1, vec![1, 0, 0])]), BTreeMap::from([(2, vec![0, 2, 0])])];
        let current = vec![BTreeMap::new(), BTreeMap::from([(9, vec![0, 0, 3])])];
        let paired = pair_counts(columns, reference, current);
        assert_eq!(paired[0].1.reference, [[1, 0, 0], [0, 0, 0]]);
        assert_eq!(paired[1].1.reference, [[0, 0, 0], [0, 2, 0]]);
        assert_eq!(
            (paired[0].1.current.as_slice(), paired[0].1.ordered),
            ([vec![0, 0, 0]].as_slice(), false)
        );
    }
}
