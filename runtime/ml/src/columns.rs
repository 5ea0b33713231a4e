//! Named columns of raw values, from a feature table or a request. A missing number is `None`; NaN counts as missing too.

use tidemill_core::{ColumnValues, Error, Result};

/// Columns in order, all of the same length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    columns: Vec<(String, ColumnValues)>,
}

impl Columns {
    /// Creates an empty set of columns.
    pub fn new() -> Self {
        Self::default()
    }
    /// Appends a column; an error if the name is taken or the length differs.
    pub fn push(&mut self, name: impl Into<String>, values: ColumnValues) -> Result<()> {
        let name = name.into();
        if self.get(&name).is_some() {
            return Err(Error::input(format!("column `{name}` comes twice; every column has its own name")));
        }
        if !self.columns.is_empty() && values.len() != self.rows() {
            let (rows, found) = (self.rows(), values.len());
            return Err(Error::input(format!(
                "column `{name}` has {found} rows where the others have {rows}"
            )));
        }
        self.columns.push((name, values));
        Ok(())
    }
    /// The column with this name.
    pub fn get(&self, name: &str) -> Option<&ColumnValues> {
        self.columns.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }
    /// The column with this name; the error lists the existing columns.
    pub fn require(&self, name: &str) -> Result<&ColumnValues> {
        self.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.columns.iter().map(|(n, _)| n.as_str()).collect();
            Error::input(format!("column `{name}` is missing; there are `{}`", names.join("`, `")))
        })
    }
    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ColumnValues)> {
        self.columns.iter().map(|(name, values)| (name.as_str(), values))
    }
    /// Names and values, in order, as owned values.
    pub fn into_columns(self) -> impl Iterator<Item = (String, ColumnValues)> {
        self.columns.into_iter()
    }
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, values)| values.len())
    }
}

#[cfg(feature = "arrow")]
mod arrow {
    use arrow_array::{Array, RecordBatch, cast::AsArray, types};
    use arrow_schema::{DataType, TimeUnit};
    use tidemill_core::{ColumnValues, Error, Result, spec::ColumnType};

    use super::Columns;

    /// The column type for an Arrow type; the error names the column.
    pub fn column_type(name: &str, kind: &DataType) -> Result<ColumnType> {
        use DataType as D;
        match kind {
            D::Float32 | D::Float64 => Ok(ColumnType::Number),
            D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::UInt8 | D::UInt16 | D::UInt32 => Ok(ColumnType::Integer),
            D::Utf8 | D::LargeUtf8 | D::Utf8View => Ok(ColumnType::Text),
            D::Boolean => Ok(ColumnType::Boolean),
            D::Timestamp(TimeUnit::Microsecond, _) | D::Date32 => Ok(ColumnType::Timestamp),
            other => Err(Error::config(format!(
                "column `{name}` has the type `{other}`, which no feature can have; cast it to DOUBLE, BIGINT, VARCHAR, BOOLEAN or TIMESTAMP"
            ))),
        }
    }

    impl Columns {
        /// Converts all rows of batches that share a schema.
        pub fn from_batches(batches: &[RecordBatch]) -> Result<Self> {
            let mut columns = Self::new();
            let Some(first) = batches.first() else { return Ok(columns) };
            for (index, field) in first.schema_ref().fields().iter().enumerate() {
                let mut values = empty(column_type(field.name(), field.data_type())?);
                for batch in batches {
                    append_array(&mut values, batch.column(index).as_ref(), field.name())?;
                }
                columns.push(field.name(), values)?;
            }
            Ok(columns)
        }
    }

    fn empty(kind: ColumnType) -> ColumnValues {
        match kind {
            ColumnType::Number => ColumnValues::Number(Vec::new()),
            ColumnType::Integer => ColumnValues::Integer(Vec::new()),
            ColumnType::Text => ColumnValues::Text(Vec::new()),
            ColumnType::Boolean => ColumnValues::Boolean(Vec::new()),
            ColumnType::Timestamp => ColumnValues::Timestamp(Vec::new()),
        }
    }

    fn append_array(values: &mut ColumnValues, array: &dyn Array, name: &str) -> Result<()> {
        use DataType as D;
        macro_rules! primitive {
            ($into:ident, $kind:ty, $convert:expr) => {
                $into.extend(array.as_primitive::<$kind>().iter().map(|v| v.map($convert)))
            };
        }
        match (values, array.data_type()) {
            (ColumnValues::Number(v), D::Float32) => primitive!(v, types::Float32Type, f64::from),
            (ColumnValues::Number(v), D::Float64) => primitive!(v, types::Float64Type, |x| x),
            (ColumnValues::Integer(v), D::Int8) => primitive!(v, types::Int8Type, i64::from),
            (ColumnValues::Integer(v), D::Int16) => primitive!(v, types::Int16Type, i64::from),
            (ColumnValues::Integer(v), D::Int32) => primitive!(v, types::Int32Type, i64::from),
            (ColumnValues::Integer(v), D::Int64) => primitive!(v, types::Int64Type, |x| x),
            (ColumnValues::Integer(v), D::UInt8) => primitive!(v, types::UInt8Type, i64::from),
            (ColumnValues::Integer(v), D::UInt16) => primitive!(v, types::UInt16Type, i64::from),
            (ColumnValues::Integer(v), D::UInt32) => primitive!(v, types::UInt32Type, i64::from),
            (ColumnValues::Timestamp(v), D::Date32) => primitive!(v, types::Date32Type, |day| i64::from(day) * 86_400_000_000),
            (ColumnValues::Timestamp(v), D::Timestamp(TimeUnit::Microsecond, _)) => primitive!(v, types::TimestampMicrosecondType, |x| x),
            (ColumnValues::Text(v), D::Utf8) => v.extend(array.as_string::<i32>().iter().map(|x| x.map(str::to_owned))),
            (ColumnValues::Text(v), D::LargeUtf8) => v.extend(array.as_string::<i64>().iter().map(|x| x.map(str::to_owned))),
            (ColumnValues::Text(v), D::Utf8View) => v.extend(array.as_string_view().iter().map(|x| x.map(str::to_owned))),
            (ColumnValues::Boolean(v), D::Boolean) => v.extend(array.as_boolean().iter()),
            (_, other) => return Err(Error::bug(format!("column `{name}` changes its type to `{other}` between batches"))),
        }
        Ok(())
    }
}

#[cfg(feature = "arrow")]
pub use arrow::column_type;
