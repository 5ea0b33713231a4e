//! The rows of one segment, gathered column by column from records.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use tidemill_core::{Error, Result, spec::ColumnType};

use crate::record::{RecordHeader, Value};

/// The rows of one model version in one window.
#[derive(Debug, Default)]
pub(crate) struct Table<'a> {
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
    pub(crate) fn push_row(&mut self, header: &RecordHeader<'a>, row: usize, time: i64) -> usize {
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
    pub(crate) fn set_value(&mut self, row: usize, nth: usize, name: &'a str, kind: ColumnType, value: Option<Value<'a>>) -> Result<()> {
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
    pub(crate) fn to_batch(&self) -> Result<RecordBatch> {
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
