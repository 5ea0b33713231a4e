//! Rows that become one segment, gathered column by column as records bring them.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use tidemill_core::{Error, Result};

use super::record::{Kind, RecordHeader, Value};

/// The rows of one model version in one window.
#[derive(Debug, Default)]
pub(super) struct Table<'a> {
    version: u32,
    ids: Vec<&'a str>,
    times: Vec<i64>,
    served_at: Vec<i64>,
    transforms: Vec<&'a str>,
    latencies: Vec<i64>,
    /// In the order in which the records bring them.
    columns: Vec<(&'a str, Column<'a>)>,
}

/// A column's values up to the last row that brought one.
#[derive(Debug)]
enum Column<'a> {
    Boolean(Vec<Option<bool>>),
    Integer(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
    Text(Vec<Option<&'a str>>),
    Timestamp(Vec<Option<i64>>),
}

impl<'a> Table<'a> {
    /// A row of a record, with its event time; its place.
    pub(super) fn push_row(&mut self, head: &RecordHeader<'a>, row: usize, time: i64) -> usize {
        self.version = head.version;
        self.ids.push(head.ids[row]);
        self.times.push(time);
        self.served_at.push(head.served_at);
        self.transforms.push(head.transform);
        self.latencies.push(i64::try_from(head.latency_us).unwrap_or(i64::MAX));
        self.ids.len() - 1
    }

    /// The value of the row at `place` in a column that is the record's `nth`: mostly it is the table's `nth` too. `Bug` if the column has had
    /// another type before.
    pub(super) fn set_value(&mut self, place: usize, nth: usize, name: &'a str, kind: Kind, value: Option<Value<'a>>) -> Result<()> {
        let named = |(other, _): &(&str, Column<'_>)| *other == name;
        let at = match self.columns.get(nth).is_some_and(named) {
            true => nth,
            false => self.columns.iter().position(named).unwrap_or_else(|| {
                self.columns.push((name, Column::new(kind)));
                self.columns.len() - 1
            }),
        };
        self.columns[at]
            .1
            .set(place, kind, value)
            .ok_or_else(|| Error::bug(format!("column `{name}` has two types in one version")))
    }

    /// Ascending by id, and by when they were served where an id comes twice.
    pub(super) fn finish(&self) -> Result<RecordBatch> {
        let mut order: Vec<usize> = (0..self.ids.len()).collect();
        order.sort_by_key(|row| (self.ids[*row], self.served_at[*row]));
        let texts = |get: &dyn Fn(usize) -> &'a str| Arc::new(StringArray::from_iter_values(order.iter().map(|row| get(*row)))) as ArrayRef;
        let times = |from: &[i64]| Arc::new(TimestampMicrosecondArray::from_iter_values(order.iter().map(|row| from[*row]))) as ArrayRef;
        let request = |row: usize| self.ids[row].rsplit_once('/').map_or(self.ids[row], |(request, _)| request);
        let own = [
            ("_id", texts(&|row| self.ids[row])),
            ("_request", texts(&request)),
            ("_time", times(&self.times)),
            ("_served_at", times(&self.served_at)),
            ("_version", Arc::new(Int64Array::from_value(i64::from(self.version), order.len()))),
            ("_transform", texts(&|row| self.transforms[row])),
            (
                "_latency_us",
                Arc::new(Int64Array::from_iter_values(order.iter().map(|row| self.latencies[*row]))),
            ),
        ];
        let own = own.into_iter().map(|(name, array)| (name, array, false));
        let brought = self.columns.iter().map(|(name, column)| (*name, column.to_array(&order), true));
        RecordBatch::try_from_iter_with_nullable(own.chain(brought))
            .map_err(|e| Error::bug(format!("predictions do not form a table: {e}")))
    }
}

impl<'a> Column<'a> {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Boolean => Self::Boolean(Vec::new()),
            Kind::Integer => Self::Integer(Vec::new()),
            Kind::Number => Self::Number(Vec::new()),
            Kind::Text => Self::Text(Vec::new()),
            Kind::Timestamp => Self::Timestamp(Vec::new()),
        }
    }

    /// `None` if the column is of another type.
    fn set(&mut self, place: usize, kind: Kind, value: Option<Value<'a>>) -> Option<()> {
        /// Rows that did not bring the column have no value in it.
        fn put<T: Copy>(values: &mut Vec<Option<T>>, place: usize, value: Option<T>) {
            if values.len() <= place {
                values.resize(place, None);
                values.push(value);
            }
        }
        macro_rules! of {
            ($kind:ident, $values:expr) => {
                put(
                    $values,
                    place,
                    match value {
                        Some(Value::$kind(value)) => Some(value),
                        _ => None,
                    },
                )
            };
        }
        match (self, kind) {
            (Self::Boolean(values), Kind::Boolean) => of!(Boolean, values),
            (Self::Integer(values), Kind::Integer) => of!(Integer, values),
            (Self::Number(values), Kind::Number) => of!(Number, values),
            (Self::Text(values), Kind::Text) => of!(Text, values),
            (Self::Timestamp(values), Kind::Timestamp) => of!(Timestamp, values),
            _ => return None,
        }
        Some(())
    }

    fn to_array(&self, order: &[usize]) -> ArrayRef {
        macro_rules! gather {
            ($values:expr, $array:ty) => {
                Arc::new(
                    order
                        .iter()
                        .map(|row| $values.get(*row).copied().flatten())
                        .collect::<$array>(),
                )
            };
        }
        match self {
            Self::Boolean(values) => gather!(values, BooleanArray),
            Self::Integer(values) => gather!(values, Int64Array),
            Self::Number(values) => gather!(values, Float64Array),
            Self::Text(values) => gather!(values, StringArray),
            Self::Timestamp(values) => gather!(values, TimestampMicrosecondArray),
        }
    }
}
