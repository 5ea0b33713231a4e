//! A record of the log, read where it lies: texts are borrowed from its bytes, and nothing is kept of a row but its values.

/// What a record says before its columns.
#[derive(Debug, PartialEq)]
pub(super) struct RecordHeader<'a> {
    pub(super) served_at: i64,
    pub(super) model: &'a str,
    pub(super) version: u32,
    pub(super) transform: &'a str,
    pub(super) latency_us: u64,
    /// One a row, like `times`.
    pub(super) ids: Vec<&'a str>,
    pub(super) times: Vec<Option<i64>>,
}

/// The type of a column's values. The numbers are what stands in records, and in files of earlier processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Boolean = 0,
    Integer = 1,
    Number = 2,
    Text = 3,
    Timestamp = 4,
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        let kinds = [Self::Boolean, Self::Integer, Self::Number, Self::Text, Self::Timestamp];
        kinds.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// One value that is there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(&'a str),
    Timestamp(i64),
}

/// Reads a record from its first byte to its last: its head, how many columns it has, and of each the name, the type and a value a row.
/// Each step is `None` where the bytes are no record.
pub(super) struct RecordReader<'a>(&'a [u8]);

impl<'a> RecordReader<'a> {
    pub(super) fn new(record: &'a [u8]) -> Self {
        Self(record)
    }

    pub(super) fn read_header(&mut self) -> Option<RecordHeader<'a>> {
        let served_at = self.read_word()? as i64;
        let model = self.read_text()?;
        let version = u32::try_from(self.read_word()?).ok()?;
        let transform = self.read_text()?;
        let latency_us = self.read_word()?;
        let rows = self.read_count()?;
        let ids = (0..rows).map(|_| self.read_text()).collect::<Option<_>>()?;
        let time = |from: &mut Self| {
            Some(if from.read_byte()? == 0 {
                None
            } else {
                Some(from.read_word()? as i64)
            })
        };
        let times = (0..rows).map(|_| time(self)).collect::<Option<_>>()?;
        Some(RecordHeader {
            served_at,
            model,
            version,
            transform,
            latency_us,
            ids,
            times,
        })
    }

    /// A count of things that take at least a byte each, so that a lie allocates nothing.
    pub(super) fn read_count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.read_word()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    pub(super) fn read_column(&mut self) -> Option<(&'a str, Kind)> {
        let name = self.read_text()?;
        let kind = Kind::of(self.read_byte()?)?;
        Some((name, kind))
    }

    /// The inner `None` is a missing value.
    pub(super) fn read_value(&mut self, kind: Kind) -> Option<Option<Value<'a>>> {
        if self.read_byte()? == 0 {
            return Some(None);
        }
        Some(Some(match kind {
            Kind::Boolean => Value::Boolean(self.read_byte()? != 0),
            Kind::Integer => Value::Integer(self.read_word()? as i64),
            Kind::Number => Value::Number(f64::from_bits(self.read_word()?)),
            Kind::Text => Value::Text(self.read_text()?),
            Kind::Timestamp => Value::Timestamp(self.read_word()? as i64),
        }))
    }

    /// Nothing may stand behind the last column.
    pub(super) fn finish(&self) -> Option<()> {
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
