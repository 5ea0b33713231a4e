//! Records as Parquet. Name and bytes of a segment follow from the records and the configuration alone, so that sealing a write-ahead
//! file again after a crash writes the same objects to the same keys.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use jiff::Timestamp;
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties, schema::types::ColumnPath};
use tidemill_core::{
    Digest, Error, Result,
    pipeline::deployment::LoggedModel,
    spec::ColumnType,
    time::{Span, key_time},
};

use crate::{
    record::{RecordHeader, RecordReader, Value},
    table::Table,
};

/// For models without a configuration.
const DEFAULT_WINDOW: Span = Span::days(1);

/// One object to write.
#[derive(Debug)]
pub struct Segment {
    /// The object's key.
    pub key: String,
    /// Parquet.
    pub bytes: Vec<u8>,
}

/// Builds the segments of records: one for each model, window and version, all with the same `name`.
///
/// # Errors
/// `Bug` if the bytes are not those of a [`Record`](crate::Record), or if a column has two types in one segment.
pub fn build_segments<'a>(
    name: &str,
    records: impl IntoIterator<Item = &'a [u8]>,
    models: &BTreeMap<String, LoggedModel>,
) -> Result<Vec<Segment>> {
    let mut tables = Tables::new(models);
    for record in records {
        tables.push_record(record)?;
    }
    let segments = tables.segments.iter();
    segments
        .map(|((model, start, version), table)| {
            Ok(Segment {
                key: format!("{}{name}-v{version}.parquet", window_prefix(model, *start)),
                bytes: write_parquet(&tables.tables[*table].to_batch()?)?,
            })
        })
        .collect()
}

/// The prefix of a window's segments, ending in `/`.
pub(crate) fn window_prefix(model: &str, start: Timestamp) -> String {
    format!("predictions/{model}/{}/", key_time(start))
}

/// A name for the `count`-th file or object that this process writes to `place`: names sort by time, and each is unique.
pub(crate) fn unique_name(place: &str, count: u64) -> String {
    use std::hash::{BuildHasher, RandomState};
    let micros = Timestamp::now().as_microsecond().unsigned_abs();
    let random = RandomState::new().hash_one(count);
    // A component has no process id.
    let process = if cfg!(target_family = "wasm") { 0 } else { std::process::id() };
    let seed = format!("{place} {micros} {count} {process} {random}");
    format!("{micros:017}-{}", &Digest::sha256(seed.as_bytes()).short()[..8])
}

/// The segment that a row belongs to: model, start of the window, version.
type SegmentId<'a> = (&'a str, Timestamp, u32);

struct Tables<'a> {
    models: &'a BTreeMap<String, LoggedModel>,
    tables: Vec<Table<'a>>,
    /// Indices into `tables`.
    segments: BTreeMap<SegmentId<'a>, usize>,
    /// The segment of the row before, the end of its window, and its table: mostly the next row goes there too.
    last: Option<(SegmentId<'a>, Timestamp, usize)>,
}

impl<'a> Tables<'a> {
    fn new(models: &'a BTreeMap<String, LoggedModel>) -> Self {
        Self {
            models,
            tables: Vec::new(),
            segments: BTreeMap::new(),
            last: None,
        }
    }

    fn push_record(&mut self, record: &'a [u8]) -> Result<()> {
        let mut reader = RecordReader::new(record);
        let header = reader.read_header().ok_or_else(invalid_record)?;
        let times = self.event_times(&header, reader.clone()).ok_or_else(invalid_record)?;
        let mut rows = Vec::with_capacity(header.rows);
        for (row, time) in times.into_iter().enumerate() {
            let table = self.table_for(header.model, header.version, time);
            rows.push((table, self.tables[table].push_row(&header, row, time)));
        }
        for nth in 0..reader.read_count().ok_or_else(invalid_record)? {
            let (name, kind) = reader.read_column().ok_or_else(invalid_record)?;
            for (table, row) in &rows {
                let value = reader.read_value(kind).ok_or_else(invalid_record)?;
                self.tables[*table]
                    .set_value(*row, nth, name, kind, value)
                    .map_err(|error| Error::bug(format!("model `{}`: {}", header.model, error.message)))?;
            }
        }
        reader.finish().ok_or_else(invalid_record)
    }

    /// The event time of each row in microseconds, from the model's time column; where there is none, the time of serving.
    fn event_times(&self, header: &RecordHeader<'_>, mut columns: RecordReader<'_>) -> Option<Vec<i64>> {
        let mut times = vec![header.served_at; header.rows];
        let Some(model) = self.models.get(header.model) else {
            return Some(times);
        };
        for _ in 0..columns.read_count()? {
            let (name, kind) = columns.read_column()?;
            let is_time = name == model.time && kind == ColumnType::Timestamp;
            for time in &mut times {
                if let Some(Value::Timestamp(value)) = columns.read_value(kind)?
                    && is_time
                {
                    *time = value;
                }
            }
            if is_time {
                break;
            }
        }
        Some(times)
    }

    /// The table for a row of that event time.
    fn table_for(&mut self, model: &'a str, version: u32, time: i64) -> usize {
        let time = Timestamp::from_microsecond(time).unwrap_or(Timestamp::UNIX_EPOCH);
        if let Some(((last, start, of), end, table)) = self.last
            && (last, of) == (model, version)
            && (start..end).contains(&time)
        {
            return table;
        }
        let window = self.models.get(model).map_or(DEFAULT_WINDOW, |model| model.window);
        let start = window.window_start(time);
        let segment = (model, start, version);
        let table = *self.segments.entry(segment).or_insert_with(|| {
            self.tables.push(Table::default());
            self.tables.len() - 1
        });
        self.last = Some((segment, window.next_window(start), table));
        table
    }
}

fn invalid_record() -> Error {
    Error::bug("the prediction log holds a record of another version of Tidemill")
}

fn write_parquet(table: &RecordBatch) -> Result<Vec<u8>> {
    let parquet_error = |e: parquet::errors::ParquetError| Error::bug(format!("predictions cannot be written as Parquet: {e}"));
    let properties = WriterProperties::builder()
        .set_compression(compression().map_err(parquet_error)?)
        // Ids are unique: a dictionary would be built, found too large and dropped.
        .set_column_dictionary_enabled(ColumnPath::from("_id"), false)
        .set_created_by("tidemill".into())
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, table.schema(), Some(properties)).map_err(parquet_error)?;
    writer.write(table).map_err(parquet_error)?;
    writer.close().map_err(parquet_error)?;
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
