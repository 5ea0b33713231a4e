//! What one answered request leaves in the log, and its bytes in the write-ahead file. The encoding is binary because
//! scores must come back bit for bit.

use tidemill_core::{Error, Result};

use super::record::Kind;

/// Predictions of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The model that predicted.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 of transform.json.
    pub transform: String,
    /// One a row: `<request id>/<row>`. A reader of the log takes each once.
    pub ids: Vec<String>,
    /// Event time in microseconds, UTC; `None` = when it was served.
    pub times: Vec<Option<i64>>,
    /// Context, features, then outputs (`_score`, `_label`, `_score_<class>`); each has one value a row.
    pub columns: Vec<(String, Values)>,
    /// Microseconds from the request's arrival until all its rows were scored.
    pub latency_us: u64,
}

/// A column's values.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// `BOOLEAN` in the file.
    Boolean(Vec<Option<bool>>),
    /// `BIGINT`.
    Integer(Vec<Option<i64>>),
    /// `DOUBLE`.
    Number(Vec<Option<f64>>),
    /// `VARCHAR`.
    Text(Vec<Option<String>>),
    /// Microseconds, UTC.
    Timestamp(Vec<Option<i64>>),
}

impl Values {
    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Boolean(v) => v.len(),
            Self::Integer(v) | Self::Timestamp(v) => v.len(),
            Self::Number(v) => v.len(),
            Self::Text(v) => v.len(),
        }
    }
    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Batch {
    /// `Input` unless every column has one value a row and the names can stand in keys.
    pub fn validate(&self) -> Result<()> {
        let rows = self.ids.len();
        let lengths = std::iter::once(self.times.len()).chain(self.columns.iter().map(|(_, values)| values.len()));
        if lengths.into_iter().any(|length| length != rows) {
            return Err(Error::input(format!(
                "a batch of {rows} predictions must have {rows} values in each column"
            )));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.model.is_empty() || !self.model.chars().all(plain) || self.model.starts_with('.') {
            return Err(Error::input(format!("`{}` is not a model's name", self.model)));
        }
        Ok(())
    }

    /// Event times from the column `time`, where there is none yet.
    pub fn fill_event_times(&mut self, time: &str) {
        if let Some((_, Values::Timestamp(values))) = self.columns.iter().find(|(name, _)| name == time) {
            self.times.iter_mut().zip(values).for_each(|(time, value)| *time = time.or(*value));
        }
    }

    /// Its bytes, with the time it was served at, microseconds. [`segments`](super::segments) makes Parquet of them.
    pub fn encode(&self, served_at: i64) -> Vec<u8> {
        let mut out = Encoder(Vec::with_capacity(1024));
        out.word(served_at as u64);
        out.text(&self.model);
        out.word(u64::from(self.version));
        out.text(&self.transform);
        out.word(self.latency_us);
        out.word(self.ids.len() as u64);
        self.ids.iter().for_each(|id| out.text(id));
        self.times.iter().for_each(|time| out.optional(time, |out, v| out.word(*v as u64)));
        out.word(self.columns.len() as u64);
        for (name, values) in &self.columns {
            out.text(name);
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
    fn optional<T>(&mut self, value: &Option<T>, write: impl Fn(&mut Self, &T)) {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
    fn column<T>(&mut self, kind: Kind, values: &[Option<T>], write: impl Fn(&mut Self, &T)) {
        self.0.push(kind as u8);
        values.iter().for_each(|value| self.optional(value, &write));
    }
    fn values(&mut self, values: &Values) {
        match values {
            Values::Boolean(v) => self.column(Kind::Boolean, v, |out, v| out.0.push(u8::from(*v))),
            Values::Integer(v) => self.column(Kind::Integer, v, |out, v| out.word(*v as u64)),
            Values::Number(v) => self.column(Kind::Number, v, |out, v| out.word(v.to_bits())),
            Values::Text(v) => self.column(Kind::Text, v, |out, v| out.text(v)),
            Values::Timestamp(v) => self.column(Kind::Timestamp, v, |out, v| out.word(*v as u64)),
        }
    }
}
