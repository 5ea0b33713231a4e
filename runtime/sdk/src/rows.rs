//! Query results as Arrow batches and plain vectors. A null is `None`; a float that is NaN stays NaN and is not null.

use arrow_array::{Array, RecordBatch, cast::AsArray, types};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{DataType, TimeUnit};
use tidemill_core::{Error, Result, Sql, Table};

/// Runs one SELECT and decodes its rows, in order. An empty result may be no batch or batches without rows.
///
/// # Errors
/// What the SQL engine said; `Bug` if its answer is not Arrow IPC.
pub fn query_batches(sql: &dyn Sql, text: &str, tables: &[Table]) -> Result<Vec<RecordBatch>> {
    let mut all = Vec::new();
    for stream in sql.query(text, tables)? {
        let stream = stream?;
        let reader = StreamReader::try_new(stream.as_slice(), None).map_err(decode_error)?;
        for batch in reader {
            all.push(batch.map_err(decode_error)?);
        }
    }
    Ok(all)
}

fn decode_error(error: arrow_schema::ArrowError) -> Error {
    Error::bug(format!("a query's result is not Arrow IPC: {error}"))
}

/// A column of numbers or booleans as 64-bit floats.
///
/// # Errors
/// `Bug` if there is no such column, or its type cannot be read so.
pub fn column_f64(batch: &RecordBatch, name: &str) -> Result<Vec<Option<f64>>> {
    let array = cast_column(batch, name, &DataType::Float64)?;
    Ok(array.as_primitive::<types::Float64Type>().iter().collect())
}

/// A column of whole numbers (also DuckDB's HUGEINT sums, which come as decimals) or booleans.
///
/// # Errors
/// `Bug` if there is no such column, its type cannot be read so, or a value does not fit.
pub fn column_i64(batch: &RecordBatch, name: &str) -> Result<Vec<Option<i64>>> {
    let array = cast_column(batch, name, &DataType::Int64)?;
    Ok(array.as_primitive::<types::Int64Type>().iter().collect())
}

/// A column of any printable type as text.
///
/// # Errors
/// `Bug` if there is no such column, or its type cannot be read so.
pub fn column_text(batch: &RecordBatch, name: &str) -> Result<Vec<Option<String>>> {
    let array = cast_column(batch, name, &DataType::Utf8)?;
    Ok(array.as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect())
}

/// A column of booleans.
///
/// # Errors
/// `Bug` if there is no such column, or its type cannot be read so.
pub fn column_bool(batch: &RecordBatch, name: &str) -> Result<Vec<Option<bool>>> {
    let array = cast_column(batch, name, &DataType::Boolean)?;
    Ok(array.as_boolean().iter().collect())
}

/// A column of timestamps or dates, read as UTC.
///
/// # Errors
/// `Bug` if there is no such column, its type cannot be read so, or a time is out of range.
pub fn column_time(batch: &RecordBatch, name: &str) -> Result<Vec<Option<jiff::Timestamp>>> {
    let array = cast_column(batch, name, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let time = |value: i64| {
        jiff::Timestamp::from_microsecond(value).map_err(|error| Error::bug(format!("column `{name}` holds a time out of range: {error}")))
    };
    array
        .as_primitive::<types::TimestampMicrosecondType>()
        .iter()
        .map(|value| value.map(time).transpose())
        .collect()
}

fn cast_column(batch: &RecordBatch, name: &str, to: &DataType) -> Result<arrow_array::ArrayRef> {
    let array = batch.column_by_name(name).ok_or_else(|| {
        let schema = batch.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::bug(format!(
            "the query has no column `{name}`; it has {}",
            names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
        ))
    })?;
    let strict = arrow_cast::CastOptions {
        safe: false,
        ..Default::default()
    };
    arrow_cast::cast_with_options(array, to, &strict).map_err(|error| {
        Error::bug(format!(
            "column `{name}` of type {} cannot be read as {to}: {error}",
            array.data_type()
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Decimal128Array, Float64Array, StringArray, TimestampMicrosecondArray};
    use arrow_ipc::writer::StreamWriter;
    use tidemill_core::{Batches, ExportedFile};

    use super::*;

    struct Canned(Vec<Vec<u8>>);
    impl Sql for Canned {
        fn query<'a>(&'a self, _: &str, _: &[Table]) -> Result<Batches<'a>> {
            Ok(Box::new(self.0.iter().cloned().map(Ok)))
        }
        fn export(&self, _: &str, _: &[Table], _: &str) -> Result<ExportedFile> {
            Err(Error::limit("not here"))
        }
    }

    fn batch() -> RecordBatch {
        let sum = Decimal128Array::from(vec![Some(42), None]).with_precision_and_scale(38, 0).unwrap();
        RecordBatch::try_from_iter([
            ("x", Arc::new(Float64Array::from(vec![Some(f64::NAN), None])) as ArrayRef),
            ("n", Arc::new(sum) as ArrayRef),
            ("t", Arc::new(TimestampMicrosecondArray::from(vec![Some(0), None])) as ArrayRef),
            ("s", Arc::new(StringArray::from(vec![Some("EWR"), None])) as ArrayRef),
        ])
        .unwrap()
    }

    #[test]
    fn streams_are_read_in_order_and_empty_is_empty() {
        let mut stream = Vec::new();
        let mut writer = StreamWriter::try_new(&mut stream, &batch().schema()).unwrap();
        writer.write(&batch()).unwrap();
        writer.finish().unwrap();
        drop(writer);
        let all = query_batches(&Canned(vec![stream.clone(), stream]), "SELECT 1", &[]).unwrap();
        assert_eq!(all.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
        assert!(query_batches(&Canned(vec![]), "SELECT 1", &[]).unwrap().is_empty());
        let error = query_batches(&Canned(vec![vec![1, 2, 3]]), "SELECT 1", &[]).unwrap_err();
        assert_eq!(error.kind, tidemill_core::ErrorKind::Bug);
    }

    #[test]
    fn nulls_and_nan_stay_apart() {
        let floats = column_f64(&batch(), "x").unwrap();
        assert!(floats[0].unwrap().is_nan() && floats[1].is_none());
        assert_eq!(column_i64(&batch(), "n").unwrap(), [Some(42), None]);
        assert_eq!(column_text(&batch(), "s").unwrap(), [Some("EWR".to_owned()), None]);
        assert_eq!(column_time(&batch(), "t").unwrap()[0], Some(jiff::Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn wrong_columns_are_named() {
        let error = column_f64(&batch(), "y").unwrap_err();
        assert!(error.message.contains("`y`") && error.message.contains("`x`, `n`"), "{error}");
        let error = column_i64(&batch(), "s").unwrap_err();
        assert!(error.message.contains("`s`"), "{error}");
    }
}
