//! What one answered request leaves in the log, and its bytes in the write-ahead file. The encoding is binary because
//! scores must come back bit for bit.

use tidemill_core::{Error, Result};

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
    pub fn check(&self) -> Result<()> {
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
    pub fn take_times(&mut self, time: &str) {
        if let Some((_, Values::Timestamp(values))) = self.columns.iter().find(|(name, _)| name == time) {
            self.times.iter_mut().zip(values).for_each(|(time, value)| *time = time.or(*value));
        }
    }

    /// Its bytes, with the time it was served at, microseconds.
    pub fn encode(&self, served_at: i64) -> Vec<u8> {
        let mut out = Encoder(Vec::with_capacity(256));
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

    /// From [`encode`](Self::encode)'s bytes; `None` if they are others.
    pub fn decode(bytes: &[u8]) -> Option<(i64, Self)> {
        let mut from = Decoder(bytes);
        let served_at = from.word()? as i64;
        let model = from.text()?;
        let version = u32::try_from(from.word()?).ok()?;
        let transform = from.text()?;
        let latency_us = from.word()?;
        let rows = from.count()?;
        let ids = (0..rows).map(|_| from.text()).collect::<Option<_>>()?;
        let times = from.column(rows, |from| from.word().map(|v| v as i64))?;
        let columns = (0..from.count()?)
            .map(|_| Some((from.text()?, from.values(rows)?)))
            .collect::<Option<_>>()?;
        let batch = Self {
            model,
            version,
            transform,
            ids,
            times,
            columns,
            latency_us,
        };
        from.0.is_empty().then_some((served_at, batch))
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
    fn column<T>(&mut self, tag: u8, values: &[Option<T>], write: impl Fn(&mut Self, &T)) {
        self.0.push(tag);
        values.iter().for_each(|value| self.optional(value, &write));
    }
    fn values(&mut self, values: &Values) {
        match values {
            Values::Boolean(v) => self.column(0, v, |out, v| out.0.push(u8::from(*v))),
            Values::Integer(v) => self.column(1, v, |out, v| out.word(*v as u64)),
            Values::Number(v) => self.column(2, v, |out, v| out.word(v.to_bits())),
            Values::Text(v) => self.column(3, v, |out, v| out.text(v)),
            Values::Timestamp(v) => self.column(4, v, |out, v| out.word(*v as u64)),
        }
    }
}

struct Decoder<'a>(&'a [u8]);

impl Decoder<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
    fn word(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*first))
    }
    /// A count of things that take at least a byte each, so that a lie allocates nothing.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.word()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }
    fn text(&mut self) -> Option<String> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }
    fn column<T>(&mut self, rows: usize, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<Option<T>>> {
        (0..rows)
            .map(|_| match self.byte()? {
                0 => Some(None),
                _ => read(self).map(Some),
            })
            .collect()
    }
    fn values(&mut self, rows: usize) -> Option<Values> {
        Some(match self.byte()? {
            0 => Values::Boolean(self.column(rows, |from| from.byte().map(|b| b != 0))?),
            1 => Values::Integer(self.column(rows, |from| from.word().map(|v| v as i64))?),
            2 => Values::Number(self.column(rows, |from| from.word().map(f64::from_bits))?),
            3 => Values::Text(self.column(rows, Self::text)?),
            4 => Values::Timestamp(self.column(rows, |from| from.word().map(|v| v as i64))?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_bit_for_bit() {
        let batch = Batch {
            model: "late".into(),
            version: 3,
            transform: "ab".into(),
            ids: vec!["r/0".into(), "r/1".into()],
            times: vec![Some(-5), None],
            columns: vec![
                ("x".into(), Values::Number(vec![Some(0.1 + 0.2), None])),
                ("t".into(), Values::Text(vec![Some("é".into()), Some(String::new())])),
                ("b".into(), Values::Boolean(vec![Some(true), Some(false)])),
                ("i".into(), Values::Integer(vec![Some(i64::MIN), None])),
                ("w".into(), Values::Timestamp(vec![None, Some(7)])),
            ],
            latency_us: 12,
        };
        let bytes = batch.encode(99);
        assert_eq!(Batch::decode(&bytes), Some((99, batch)));
        for cut in 0..bytes.len() {
            assert!(Batch::decode(&bytes[..cut]).is_none());
        }
    }
}
