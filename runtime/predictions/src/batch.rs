//! The rows of one answered request, and their encoding.

use tidemill_core::{ColumnValues, Error, Result};

use crate::record::{FORMAT, Record, type_tag};

/// The predictions of one request, borrowed from the code that made them.
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
