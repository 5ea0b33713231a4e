//! Batches as Parquet. Name and bytes follow from them alone, so that turning a write-ahead file into objects again after a crash
//! writes the same objects to the same keys.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use jiff::Timestamp;
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use tidemill_core::{
    Error, Result,
    time::{Span, key_time},
};

use super::batch::{Batch, Values};

/// For models that none was given for.
const DEFAULT_WINDOW: Span = Span::days(1);

/// One object to write.
#[derive(Debug)]
pub struct Segment {
    /// Where.
    pub key: String,
    /// Parquet.
    pub bytes: Vec<u8>,
}

/// One row: which batch, which row of it, its event time.
struct Row<'a> {
    served_at: i64,
    time: i64,
    batch: &'a Batch,
    row: usize,
}

/// The segments of batches, each with the time it was served at in microseconds, under one `name`: one for each model, window and
/// version.
pub fn segments(name: &str, batches: &[(i64, Batch)], windows: &BTreeMap<String, Span>) -> Result<Vec<Segment>> {
    let mut groups: BTreeMap<(&str, Timestamp, u32), Vec<Row<'_>>> = BTreeMap::new();
    for (served_at, batch) in batches {
        let window = windows.get(&batch.model).copied().unwrap_or(DEFAULT_WINDOW);
        for (row, time) in batch.times.iter().enumerate() {
            let time = time.unwrap_or(*served_at);
            let start = window.start_of(Timestamp::from_microsecond(time).unwrap_or(Timestamp::UNIX_EPOCH));
            let row = Row {
                served_at: *served_at,
                time,
                batch,
                row,
            };
            groups.entry((&batch.model, start, batch.version)).or_default().push(row);
        }
    }
    groups
        .into_iter()
        .map(|((model, start, version), mut rows)| {
            rows.sort_by_key(|row| (&row.batch.ids[row.row], row.served_at));
            let key = format!("{}{name}-v{version}.parquet", prefix(model, start));
            Ok(Segment {
                bytes: parquet(&table(&rows)?)?,
                key,
            })
        })
        .collect()
}

/// Where a window's segments are, ending in `/`.
pub(super) fn prefix(model: &str, start: Timestamp) -> String {
    format!("predictions/{model}/{}/", key_time(start))
}

fn table(rows: &[Row<'_>]) -> Result<RecordBatch> {
    let text = |get: &dyn Fn(&Row<'_>) -> String| Arc::new(StringArray::from_iter_values(rows.iter().map(get))) as ArrayRef;
    let time = |get: &dyn Fn(&Row<'_>) -> i64| Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(get))) as ArrayRef;
    let integer = |get: &dyn Fn(&Row<'_>) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(get))) as ArrayRef;
    let id = |row: &Row<'_>| row.batch.ids[row.row].clone();
    let request = |row: &Row<'_>| {
        id(row)
            .rsplit_once('/')
            .map(|(request, _)| request.to_owned())
            .unwrap_or_else(|| id(row))
    };
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("_id".into(), text(&id)),
        ("_request".into(), text(&request)),
        ("_time".into(), time(&|row| row.time)),
        ("_served_at".into(), time(&|row| row.served_at)),
        ("_version".into(), integer(&|row| i64::from(row.batch.version))),
        ("_transform".into(), text(&|row| row.batch.transform.clone())),
        (
            "_latency_us".into(),
            integer(&|row| i64::try_from(row.batch.latency_us).unwrap_or(i64::MAX)),
        ),
    ];
    let own = columns.len();
    for (name, like) in columns_of(rows)? {
        columns.push((name.to_owned(), column(rows, name, like)));
    }
    let nullable = columns
        .into_iter()
        .enumerate()
        .map(|(index, (name, array))| (name, array, index >= own));
    RecordBatch::try_from_iter_with_nullable(nullable).map_err(|e| Error::bug(format!("predictions do not form a table: {e}")))
}

/// The names in the order in which the rows bring them, each with a sample of its type.
fn columns_of<'a>(rows: &[Row<'a>]) -> Result<Vec<(&'a str, &'a Values)>> {
    let mut known: BTreeMap<&str, &Values> = BTreeMap::new();
    let mut order = Vec::new();
    let mut last: Option<*const Batch> = None;
    for row in rows {
        if last.replace(std::ptr::from_ref(row.batch)) == Some(std::ptr::from_ref(row.batch)) {
            continue;
        }
        for (name, values) in &row.batch.columns {
            match known.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(values);
                    order.push((name.as_str(), values));
                }
                Entry::Occupied(entry) if std::mem::discriminant(*entry.get()) != std::mem::discriminant(values) => {
                    return Err(Error::bug(format!(
                        "column `{name}` of model `{}` has two types in one version",
                        row.batch.model
                    )));
                }
                Entry::Occupied(_) => {}
            }
        }
    }
    Ok(order)
}

fn column(rows: &[Row<'_>], name: &str, like: &Values) -> ArrayRef {
    macro_rules! gather {
        ($variant:ident, $array:ty, $get:expr) => {
            Arc::new(
                rows.iter()
                    .map(|row| match row.batch.columns.iter().find(|(other, _)| other == name) {
                        Some((_, Values::$variant(values))) => $get(&values[row.row]),
                        _ => None,
                    })
                    .collect::<$array>(),
            )
        };
    }
    match like {
        Values::Boolean(_) => gather!(Boolean, BooleanArray, |v: &Option<bool>| *v),
        Values::Integer(_) => gather!(Integer, Int64Array, |v: &Option<i64>| *v),
        Values::Number(_) => gather!(Number, Float64Array, |v: &Option<f64>| *v),
        Values::Text(_) => gather!(Text, StringArray, Option::as_deref),
        Values::Timestamp(_) => gather!(Timestamp, TimestampMicrosecondArray, |v: &Option<i64>| *v),
    }
}

fn parquet(table: &RecordBatch) -> Result<Vec<u8>> {
    let failed = |e: parquet::errors::ParquetError| Error::bug(format!("predictions cannot be written as Parquet: {e}"));
    let properties = WriterProperties::builder()
        .set_compression(compression().map_err(failed)?)
        .set_created_by("tidemill".into())
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, table.schema(), Some(properties)).map_err(failed)?;
    writer.write(table).map_err(failed)?;
    writer.close().map_err(failed)?;
    Ok(bytes)
}

#[cfg(not(target_family = "wasm"))]
fn compression() -> parquet::errors::Result<Compression> {
    parquet::basic::ZstdLevel::try_new(1).map(Compression::ZSTD)
}

/// Zstandard is C, which a component is built without. Every reader takes both.
#[cfg(target_family = "wasm")]
fn compression() -> parquet::errors::Result<Compression> {
    Ok(Compression::SNAPPY)
}
