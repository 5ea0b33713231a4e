//! Records as Parquet. Name and bytes follow from them alone, so that turning a write-ahead file into objects again after a crash
//! writes the same objects to the same keys.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use jiff::Timestamp;
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties, schema::types::ColumnPath};
use tidemill_core::{
    Error, Result,
    time::{Span, key_time},
};

use super::{record::RecordReader, table::Table};

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

/// Which segment a row belongs to: model, start of the window, version.
type SegmentId<'a> = (&'a str, Timestamp, u32);

/// The segments of records, which are what [`Batch::encode`](super::Batch::encode) gives, under one `name`: one for each model, window and
/// version. `Bug` if the bytes are no such record.
pub fn build_segments<'a>(
    name: &str,
    records: impl IntoIterator<Item = &'a [u8]>,
    windows: &BTreeMap<String, Span>,
) -> Result<Vec<Segment>> {
    let mut tables = Tables::default();
    for record in records {
        tables.push_record(record, windows)?;
    }
    let places = tables.segments.iter();
    places
        .map(|((model, start, version), table)| {
            Ok(Segment {
                key: format!("{}{name}-v{version}.parquet", window_prefix(model, *start)),
                bytes: write_parquet(&tables.tables[*table].finish()?)?,
            })
        })
        .collect()
}

/// Where a window's segments are, ending in `/`.
pub(super) fn window_prefix(model: &str, start: Timestamp) -> String {
    format!("predictions/{model}/{}/", key_time(start))
}

#[derive(Default)]
struct Tables<'a> {
    tables: Vec<Table<'a>>,
    /// Indices into `tables`.
    segments: BTreeMap<SegmentId<'a>, usize>,
    /// Where the row before went, and the end of its window: mostly the next one goes there too.
    last: Option<(SegmentId<'a>, Timestamp, usize)>,
}

impl<'a> Tables<'a> {
    fn push_record(&mut self, record: &'a [u8], windows: &BTreeMap<String, Span>) -> Result<()> {
        let mut reader = RecordReader::new(record);
        let head = reader.read_header().ok_or_else(invalid_record)?;
        let mut rows = Vec::with_capacity(head.ids.len());
        for (row, time) in head.times.iter().enumerate() {
            let time = time.unwrap_or(head.served_at);
            let table = self.table_for(head.model, head.version, time, windows);
            rows.push((table, self.tables[table].push_row(&head, row, time)));
        }
        for nth in 0..reader.read_count().ok_or_else(invalid_record)? {
            let (name, kind) = reader.read_column().ok_or_else(invalid_record)?;
            for (table, place) in &rows {
                let value = reader.read_value(kind).ok_or_else(invalid_record)?;
                self.tables[*table]
                    .set_value(*place, nth, name, kind, value)
                    .map_err(|error| Error {
                        message: format!("model `{}`: {}", head.model, error.message),
                        ..error
                    })?;
            }
        }
        reader.finish().ok_or_else(invalid_record)
    }

    /// The table for a row of that time, microseconds.
    fn table_for(&mut self, model: &'a str, version: u32, time: i64, windows: &BTreeMap<String, Span>) -> usize {
        let time = Timestamp::from_microsecond(time).unwrap_or(Timestamp::UNIX_EPOCH);
        if let Some(((last, start, of), end, table)) = self.last
            && (last, of) == (model, version)
            && (start..end).contains(&time)
        {
            return table;
        }
        let window = windows.get(model).copied().unwrap_or(DEFAULT_WINDOW);
        let start = window.window_start(time);
        let place = (model, start, version);
        let table = *self.segments.entry(place).or_insert_with(|| {
            self.tables.push(Table::default());
            self.tables.len() - 1
        });
        self.last = Some((place, window.next_window(start), table));
        table
    }
}

fn invalid_record() -> Error {
    Error::bug("the prediction log holds a record of another version of Tidemill")
}

fn write_parquet(table: &RecordBatch) -> Result<Vec<u8>> {
    let failed = |e: parquet::errors::ParquetError| Error::bug(format!("predictions cannot be written as Parquet: {e}"));
    let properties = WriterProperties::builder()
        .set_compression(compression().map_err(failed)?)
        // No two are the same: a dictionary of them would be built, found too large and dropped.
        .set_column_dictionary_enabled(ColumnPath::from("_id"), false)
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
