//! The values of a column: the one form for features, requests, scores and the prediction log.

use crate::spec::ColumnType;

/// The values of one column. `None` is a missing value; a NaN counts as missing too.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnValues {
    /// 64-bit floats.
    Number(Vec<Option<f64>>),
    /// 64-bit integers.
    Integer(Vec<Option<i64>>),
    /// UTF-8.
    Text(Vec<Option<String>>),
    /// True or false.
    Boolean(Vec<Option<bool>>),
    /// Microseconds since 1970, UTC.
    Timestamp(Vec<Option<i64>>),
}

impl ColumnValues {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Number(v) => v.len(),
            Self::Integer(v) | Self::Timestamp(v) => v.len(),
            Self::Text(v) => v.len(),
            Self::Boolean(v) => v.len(),
        }
    }
    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The type of the values.
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Number(_) => ColumnType::Number,
            Self::Integer(_) => ColumnType::Integer,
            Self::Text(_) => ColumnType::Text,
            Self::Boolean(_) => ColumnType::Boolean,
            Self::Timestamp(_) => ColumnType::Timestamp,
        }
    }
    /// Whether a row's value is missing.
    pub fn is_missing(&self, row: usize) -> bool {
        match self {
            Self::Number(v) => v[row].is_none_or(f64::is_nan),
            Self::Integer(v) | Self::Timestamp(v) => v[row].is_none(),
            Self::Text(v) => v[row].is_none(),
            Self::Boolean(v) => v[row].is_none(),
        }
    }
    /// A row's value as a number: booleans as 0 and 1, timestamps as seconds; NaN where missing, and for text.
    pub fn number(&self, row: usize) -> f64 {
        match self {
            Self::Number(v) => v[row].unwrap_or(f64::NAN),
            Self::Integer(v) => v[row].map_or(f64::NAN, |x| x as f64),
            Self::Timestamp(v) => v[row].map_or(f64::NAN, |x| x as f64 / 1e6),
            Self::Boolean(v) => v[row].map_or(f64::NAN, |x| f64::from(u8::from(x))),
            Self::Text(_) => f64::NAN,
        }
    }
    /// A row's value as a category; `None` where missing. Timestamps are written as their microseconds.
    pub fn category(&self, row: usize) -> Option<std::borrow::Cow<'_, str>> {
        if self.is_missing(row) {
            return None;
        }
        match self {
            Self::Text(v) => v[row].as_deref().map(Into::into),
            Self::Number(v) => v[row].map(|x| x.to_string().into()),
            Self::Integer(v) | Self::Timestamp(v) => v[row].map(|x| x.to_string().into()),
            Self::Boolean(v) => v[row].map(|x| x.to_string().into()),
        }
    }
}
