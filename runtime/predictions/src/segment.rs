//! Records as Parquet. Name and bytes of a segment follow from the records and the configuration alone, so that sealing a write-ahead
//! file again after a crash writes the same objects to the same keys.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use jiff::Timestamp;
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties, schema::types::ColumnPath};
use tidemill_core::{Digest, Error, Result, layout, pipeline::deployment::LoggedModel, spec::ColumnType, time::Span};

use crate::record::{RecordHeader, RecordReader, Value};

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
                key: format!("{}{name}-v{version}.parquet", layout::segment_prefix(model, *start)),
                bytes: write_parquet(&tables.tables[*table].to_batch()?)?,
            })
        })
        .collect()
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
        let times = event_times(&header, self.models.get(header.model), reader.clone()).ok_or_else(invalid_record)?;
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

/// The event time of each row in microseconds, from the model's time column; where there is none, the time of serving.
pub(crate) fn event_times(header: &RecordHeader<'_>, model: Option<&LoggedModel>, mut columns: RecordReader<'_>) -> Option<Vec<i64>> {
    let mut times = vec![header.served_at; header.rows];
    let Some(model) = model else {
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

/// The rows of one model version in one window, gathered column by column from records.
#[derive(Debug, Default)]
struct Table<'a> {
    version: u32,
    ids: Vec<String>,
    requests: Vec<&'a str>,
    times: Vec<i64>,
    served_at: Vec<i64>,
    transforms: Vec<&'a str>,
    latencies: Vec<i64>,
    /// In the order in which the records bring them.
    columns: Vec<Column<'a>>,
}

/// A column, with values up to the last row that brought one.
#[derive(Debug)]
struct Column<'a> {
    name: &'a str,
    kind: ColumnType,
    values: Vec<Option<Value<'a>>>,
}

impl<'a> Table<'a> {
    /// Adds a row of a record with its event time, and returns the row's index.
    fn push_row(&mut self, header: &RecordHeader<'a>, row: usize, time: i64) -> usize {
        self.version = header.version;
        self.ids.push(format!("{}/{row}", header.request_id));
        self.requests.push(header.request_id);
        self.times.push(time);
        self.served_at.push(header.served_at);
        self.transforms.push(header.transform);
        self.latencies.push(i64::try_from(header.latency_us).unwrap_or(i64::MAX));
        self.ids.len() - 1
    }

    /// Sets the value of a row in a column that is the record's `nth`: mostly it is the table's `nth` too. `Bug` if the column has had
    /// another type before.
    fn set_value(&mut self, row: usize, nth: usize, name: &'a str, kind: ColumnType, value: Option<Value<'a>>) -> Result<()> {
        let at = match self.columns.get(nth).is_some_and(|column| column.name == name) {
            true => nth,
            false => self.columns.iter().position(|column| column.name == name).unwrap_or_else(|| {
                let values = Vec::new();
                self.columns.push(Column { name, kind, values });
                self.columns.len() - 1
            }),
        };
        let column = &mut self.columns[at];
        if column.kind != kind {
            return Err(Error::bug(format!("column `{name}` has two types in one version")));
        }
        if column.values.len() <= row {
            // Rows that did not bring the column have no value in it.
            column.values.resize(row, None);
            column.values.push(value);
        }
        Ok(())
    }

    /// The rows, ascending by id, then by the time of serving where an id comes twice.
    fn to_batch(&self) -> Result<RecordBatch> {
        let mut order: Vec<usize> = (0..self.ids.len()).collect();
        order.sort_by(|a, b| (&self.ids[*a], self.served_at[*a]).cmp(&(&self.ids[*b], self.served_at[*b])));
        let times = |from: &[i64]| Arc::new(TimestampMicrosecondArray::from_iter_values(order.iter().map(|row| from[*row]))) as ArrayRef;
        let texts = |from: &[&str]| Arc::new(StringArray::from_iter_values(order.iter().map(|row| from[*row]))) as ArrayRef;
        let ids = StringArray::from_iter_values(order.iter().map(|row| &self.ids[*row]));
        let latencies = Int64Array::from_iter_values(order.iter().map(|row| self.latencies[*row]));
        let own: [(&str, ArrayRef); 7] = [
            ("_id", Arc::new(ids)),
            ("_request", texts(&self.requests)),
            ("_time", times(&self.times)),
            ("_served_at", times(&self.served_at)),
            ("_version", Arc::new(Int64Array::from_value(i64::from(self.version), order.len()))),
            ("_transform", texts(&self.transforms)),
            ("_latency_us", Arc::new(latencies)),
        ];
        let own = own.into_iter().map(|(name, array)| (name, array, false));
        let columns = self.columns.iter().map(|column| (column.name, column.to_array(&order), true));
        RecordBatch::try_from_iter_with_nullable(own.chain(columns))
            .map_err(|e| Error::bug(format!("predictions do not form a table: {e}")))
    }
}

impl Column<'_> {
    fn to_array(&self, order: &[usize]) -> ArrayRef {
        macro_rules! gather {
            ($variant:ident, $array:ty) => {{
                let value = |row: &usize| match self.values.get(*row).copied().flatten() {
                    Some(Value::$variant(value)) => Some(value),
                    _ => None,
                };
                Arc::new(order.iter().map(value).collect::<$array>())
            }};
        }
        match self.kind {
            ColumnType::Boolean => gather!(Boolean, BooleanArray),
            ColumnType::Integer => gather!(Integer, Int64Array),
            ColumnType::Number => gather!(Number, Float64Array),
            ColumnType::Text => gather!(Text, StringArray),
            ColumnType::Timestamp => gather!(Timestamp, TimestampMicrosecondArray),
        }
    }
}

pub(crate) fn invalid_record() -> Error {
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
