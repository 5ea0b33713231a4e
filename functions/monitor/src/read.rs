//! SQL results as vectors. Queries cast their columns to BIGINT, DOUBLE or VARCHAR, so only those three types are read.

use arrow_array::{Array, Float64Array, Int64Array, RecordBatch, StringArray};
use tidemill_core::{Error, Host, Result, Table, sql::quote_identifier};

/// Runs a query.
pub(crate) fn query(host: &dyn Host, sql: &str, tables: &[Table]) -> Result<Vec<RecordBatch>> {
    tidemill_sdk::query_batches(host.sql(), sql, tables)
}

fn column<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T> {
    batch
        .column_by_name(name)
        .and_then(|c| c.as_any().downcast_ref::<T>())
        .ok_or_else(|| {
            Error::bug(format!(
                "the column `{name}` of a query of `monitor` is not there or not of its type: {:?}",
                batch.schema()
            ))
        })
}

/// A BIGINT column of all batches.
pub(crate) fn integers(batches: &[RecordBatch], name: &str) -> Result<Vec<Option<i64>>> {
    collect_column(batches, |batch| Ok(column::<Int64Array>(batch, name)?.iter().collect()))
}

/// A DOUBLE column of all batches.
pub(crate) fn numbers(batches: &[RecordBatch], name: &str) -> Result<Vec<Option<f64>>> {
    collect_column(batches, |batch| Ok(column::<Float64Array>(batch, name)?.iter().collect()))
}

/// A VARCHAR column of all batches.
pub(crate) fn texts(batches: &[RecordBatch], name: &str) -> Result<Vec<Option<String>>> {
    collect_column(batches, |batch| {
        Ok(column::<StringArray>(batch, name)?.iter().map(|v| v.map(str::to_owned)).collect())
    })
}

fn collect_column<T>(batches: &[RecordBatch], of: impl Fn(&RecordBatch) -> Result<Vec<T>>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for batch in batches {
        all.extend(of(batch)?);
    }
    Ok(all)
}

/// The first value of a BIGINT column; 0 without rows.
pub(crate) fn first_count(batches: &[RecordBatch], name: &str) -> Result<u64> {
    Ok(integers(batches, name)?
        .first()
        .copied()
        .flatten()
        .unwrap_or(0)
        .try_into()
        .unwrap_or(0))
}

/// The names of a table's columns; none if it has no rows.
pub(crate) fn column_names(host: &dyn Host, table: &Table) -> Result<Vec<String>> {
    let batches = query(
        host,
        &format!("SELECT * FROM {} LIMIT 1", quote_identifier(&table.name)),
        std::slice::from_ref(table),
    )?;
    Ok(batches
        .first()
        .map(|b| b.schema().fields().iter().map(|f| f.name().clone()).collect())
        .unwrap_or_default())
}
