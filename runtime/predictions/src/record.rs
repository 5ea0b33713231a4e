//! The record format, written and read: what a serving component sends and what a write-ahead file holds.
//!
//! A record is binary because scores must come back bit for bit. It is read in place: texts are borrowed from its bytes. All numbers
//! are little-endian; a text is its length (32 bits) and its UTF-8:
//!
//! ```text
//! format         1 byte, the value of FORMAT
//! served at      64 bits, microseconds since 1970, set by the log
//! model          text
//! version        64 bits
//! transform      text
//! latency        64 bits, microseconds
//! request id     text
//! rows           64 bits
//! columns        64 bits, then for each column:
//!   name         text
//!   type         1 byte: 0 boolean, 1 integer, 2 number, 3 text, 4 timestamp
//!   values       for each row: 0, or 1 and the value (1 byte, 64 bits, 64 bits, text, 64 bits)
//! ```

use std::ops::Range;

use tidemill_core::{ColumnValues, Error, Result, spec::ColumnType};

/// The first byte of a record. Change it with the format.
const FORMAT: u8 = 1;

/// Where the time of serving is.
const SERVED_AT: Range<usize> = 1..9;
/// Where the model's name begins.
const MODEL: usize = SERVED_AT.end + size_of::<u32>();

/// The predictions of one answered request, borrowed from the code that made them.
///
/// The id of a row is `<request id>/<row>`, with rows counted from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PredictionBatch<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The model's version.
    pub version: u32,
    /// The SHA-256 of the version's `transform.json`.
    pub transform: &'a str,
    /// The client's id of the request, or a unique one.
    pub request_id: &'a str,
    /// The number of rows.
    pub rows: usize,
    /// Context, features, then outputs (`_score`, `_label`, `_score_<class>`), each with one value for each row.
    pub columns: &'a [(String, ColumnValues)],
    /// Microseconds from the request's arrival until all its rows were scored.
    pub latency_us: u64,
}

impl PredictionBatch<'_> {
    /// Encodes the rows.
    ///
    /// # Errors
    /// `Input` if a column does not have one value for each row, or if the model's name cannot be part of a key.
    pub fn to_record(&self) -> Result<Record> {
        if let Some((name, values)) = self.columns.iter().find(|(_, values)| values.len() != self.rows) {
            return Err(Error::input(format!(
                "column `{name}` has {} values for {} predictions; it must have one for each",
                values.len(),
                self.rows
            )));
        }
        Record::from_encoded(self.encode(), self.model, self.rows)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Encoder(Vec::with_capacity(1024));
        out.0.push(FORMAT);
        // The time of serving: the log sets it.
        out.word(0);
        out.text(self.model);
        out.word(u64::from(self.version));
        out.text(self.transform);
        out.word(self.latency_us);
        out.text(self.request_id);
        out.word(self.rows as u64);
        out.word(self.columns.len() as u64);
        for (name, values) in self.columns {
            out.text(name);
            out.0.push(type_tag(values.column_type()));
            out.values(values);
        }
        out.0
    }
}

struct Encoder(Vec<u8>);

impl Encoder {
    fn word(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
    fn text(&mut self, value: &str) {
        self.0.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.0.extend_from_slice(value.as_bytes());
    }
    fn column<T>(&mut self, values: &[Option<T>], write: impl Fn(&mut Self, &T)) {
        for value in values {
            self.0.push(u8::from(value.is_some()));
            if let Some(value) = value {
                write(self, value);
            }
        }
    }
    fn values(&mut self, values: &ColumnValues) {
        match values {
            ColumnValues::Boolean(v) => self.column(v, |out, v| out.0.push(u8::from(*v))),
            ColumnValues::Integer(v) | ColumnValues::Timestamp(v) => self.column(v, |out, v| out.word(*v as u64)),
            ColumnValues::Number(v) => self.column(v, |out, v| out.word(v.to_bits())),
            ColumnValues::Text(v) => self.column(v, |out, v| out.text(v)),
        }
    }
}

/// A record whose bytes have been checked from the first to the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    bytes: Vec<u8>,
    model: Range<usize>,
    rows: usize,
}

impl Record {
    /// Checks bytes that a component sent.
    ///
    /// # Errors
    /// `Input` if the bytes are not a record, or if the model's name cannot be part of a key.
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        let (model, rows) = scan(&bytes).ok_or_else(|| Error::input("the bytes are not a record of predictions"))?;
        let model = model.to_owned();
        Self::from_encoded(bytes, &model, rows)
    }

    fn from_encoded(bytes: Vec<u8>, model: &str, rows: usize) -> Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if model.is_empty() || !model.chars().all(is_plain) || model.starts_with('.') {
            return Err(Error::input(format!(
                "`{model}` is not a model's name: use letters, digits, `-`, `_` and `.`"
            )));
        }
        let model = MODEL..MODEL + model.len();
        Ok(Self { bytes, model, rows })
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.model.clone()]).unwrap_or_default()
    }

    /// The version that made the predictions.
    pub fn version(&self) -> u64 {
        let version = self.bytes.get(self.model.end..).and_then(|rest| rest.first_chunk());
        version.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// The number of predictions.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The encoding, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Sets the time of serving, in microseconds since 1970. A log does this when it takes the record.
    pub fn set_served_at(&mut self, micros: i64) {
        self.bytes[SERVED_AT].copy_from_slice(&micros.to_le_bytes());
    }
}

/// Reads a record whole: its model and how many rows it has.
fn scan(bytes: &[u8]) -> Option<(&str, usize)> {
    let mut reader = RecordReader::new(bytes);
    let header = reader.read_header()?;
    for _ in 0..reader.read_count()? {
        let (_, kind) = reader.read_column()?;
        (0..header.rows).try_for_each(|_| reader.read_value(kind).map(drop))?;
    }
    reader.finish()?;
    Some((header.model, header.rows))
}

/// The byte that stands for a column's type.
fn type_tag(kind: ColumnType) -> u8 {
    match kind {
        ColumnType::Boolean => 0,
        ColumnType::Integer => 1,
        ColumnType::Number => 2,
        ColumnType::Text => 3,
        ColumnType::Timestamp => 4,
    }
}

/// The fields of a record before its columns.
#[derive(Debug, PartialEq)]
#[cfg_attr(
    not(feature = "segments"),
    allow(dead_code, reason = "a component reads records only to check them")
)]
pub(crate) struct RecordHeader<'a> {
    pub(crate) served_at: i64,
    pub(crate) model: &'a str,
    pub(crate) version: u32,
    pub(crate) transform: &'a str,
    pub(crate) latency_us: u64,
    pub(crate) request_id: &'a str,
    pub(crate) rows: usize,
}

/// One value of a column, as it lies in the record.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(
    not(feature = "segments"),
    allow(dead_code, reason = "a component reads records only to check them")
)]
pub(crate) enum Value<'a> {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(&'a str),
    Timestamp(i64),
}

/// Reads a record from its first byte to its last: the header, the number of columns, and for each column its name, its type and a
/// value for each row. Each step is `None` where the bytes are not a record.
#[derive(Clone)]
pub(crate) struct RecordReader<'a>(&'a [u8]);

impl<'a> RecordReader<'a> {
    pub(crate) fn new(record: &'a [u8]) -> Self {
        Self(record)
    }

    pub(crate) fn read_header(&mut self) -> Option<RecordHeader<'a>> {
        if self.read_byte()? != FORMAT {
            return None;
        }
        Some(RecordHeader {
            served_at: self.read_word()? as i64,
            model: self.read_text()?,
            version: u32::try_from(self.read_word()?).ok()?,
            transform: self.read_text()?,
            latency_us: self.read_word()?,
            request_id: self.read_text()?,
            rows: self.read_count()?,
        })
    }

    /// A count of things that take at least one byte each, so that a false count allocates nothing.
    pub(crate) fn read_count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.read_word()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    pub(crate) fn read_column(&mut self) -> Option<(&'a str, ColumnType)> {
        let name = self.read_text()?;
        let kind = match self.read_byte()? {
            0 => ColumnType::Boolean,
            1 => ColumnType::Integer,
            2 => ColumnType::Number,
            3 => ColumnType::Text,
            4 => ColumnType::Timestamp,
            _ => return None,
        };
        Some((name, kind))
    }

    /// The inner `None` is a missing value.
    pub(crate) fn read_value(&mut self, kind: ColumnType) -> Option<Option<Value<'a>>> {
        if self.read_byte()? == 0 {
            return Some(None);
        }
        Some(Some(match kind {
            ColumnType::Boolean => Value::Boolean(self.read_byte()? != 0),
            ColumnType::Integer => Value::Integer(self.read_word()? as i64),
            ColumnType::Number => Value::Number(f64::from_bits(self.read_word()?)),
            ColumnType::Text => Value::Text(self.read_text()?),
            ColumnType::Timestamp => Value::Timestamp(self.read_word()? as i64),
        }))
    }

    /// Nothing may follow the last column.
    pub(crate) fn finish(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    fn read_byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn read_word(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*first))
    }

    fn read_text(&mut self) -> Option<&'a str> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}
