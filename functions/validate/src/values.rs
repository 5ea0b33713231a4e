//! SQL that reads one column as the contract's type. A value that cannot be read becomes null; NaN is a missing value, and infinity a bad
//! one.

use jiff::Timestamp;
use tidemill_core::{
    Error, Format, Result,
    spec::{ColumnType, ContractValue},
    sql::{double_literal, quote_identifier, quote_string, timestamp_literal},
    time::parse_time,
};

use crate::header::FileType;

/// The forms of a time that requests take too: a date, or a date and a time, which is UTC unless it has an offset. No other form may reach
/// DuckDB's cast: it keeps a zone's name for later rows of the file, and takes an offset of 99 hours.
const TIME_FORM: &str =
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)?)?)?";

/// The file's own value, null if it is missing: the value that a check shows to a person.
pub(crate) fn raw_sql(name: &str, source: FileType, kind: ColumnType, format: Format) -> String {
    let column = if format == Format::Csv {
        format!("NULLIF({}, '')", quote_identifier(name))
    } else {
        quote_identifier(name)
    };
    match source {
        FileType::Absent => format!("CAST(NULL AS {})", kind.sql_type()),
        FileType::Text if kind == ColumnType::Number => {
            format!("CASE WHEN NOT coalesce(isnan(TRY_CAST({column} AS DOUBLE)), false) THEN {column} END")
        }
        FileType::Number => format!("CASE WHEN NOT isnan(CAST({column} AS DOUBLE)) THEN CAST({column} AS DOUBLE) END"),
        _ => column,
    }
}

/// The value of the raw expression `raw` in the contract's type.
pub(crate) fn typed_sql(raw: &str, source: FileType, kind: ColumnType) -> String {
    match (kind, source) {
        (_, FileType::Absent) => raw.to_owned(),
        (ColumnType::Text, FileType::Text) => raw.to_owned(),
        (ColumnType::Text, _) => format!("CAST({raw} AS VARCHAR)"),
        (ColumnType::Integer, FileType::Integer) => format!("TRY_CAST({raw} AS BIGINT)"),
        // DuckDB would round 1.5 to 2. A double detects small fractions, and a decimal those of large numbers.
        (ColumnType::Integer, _) => format!(
            "CASE WHEN TRY_CAST({raw} AS DOUBLE) = trunc(TRY_CAST({raw} AS DOUBLE)) \
             AND TRY_CAST({raw} AS DECIMAL(38, 9)) = TRY_CAST({raw} AS BIGINT) THEN TRY_CAST({raw} AS BIGINT) END"
        ),
        (ColumnType::Number, _) => format!("CASE WHEN isfinite(TRY_CAST({raw} AS DOUBLE)) THEN TRY_CAST({raw} AS DOUBLE) END"),
        (ColumnType::Boolean, _) => format!("TRY_CAST({raw} AS BOOLEAN)"),
        (ColumnType::Timestamp, FileType::Timestamp) => timestamp_sql(raw),
        // As a TIMESTAMP without a zone, DuckDB would ignore the offset in the text.
        (ColumnType::Timestamp, FileType::Text) => {
            let form = quote_string(TIME_FORM);
            timestamp_sql(&format!(
                "TRY_CAST(CASE WHEN regexp_full_match({raw}, {form}) THEN {raw} END AS TIMESTAMPTZ)"
            ))
        }
        (ColumnType::Timestamp, _) => timestamp_sql(&format!("TRY_CAST({raw} AS TIMESTAMPTZ)")),
    }
}

/// A time in the years that every other part can represent; any other time is null. `epoch_us` reads every kind of time as UTC, whatever
/// the session's zone is.
fn timestamp_sql(time: &str) -> String {
    let micros = format!("epoch_us({time})");
    let [first, last] = [Timestamp::MIN, Timestamp::MAX].map(Timestamp::as_microsecond);
    format!("CASE WHEN {micros} BETWEEN {first} AND {last} THEN make_timestamp({micros}) END")
}

/// A contract's value as SQL, in the column's type.
pub(crate) fn literal_sql(value: &ContractValue, kind: ColumnType, column: &str) -> Result<String> {
    Ok(match (value, kind) {
        (ContractValue::Integer(n), ColumnType::Integer) => n.to_string(),
        (ContractValue::Integer(n), ColumnType::Number) => double_literal(*n as f64),
        (ContractValue::Number(x), ColumnType::Integer | ColumnType::Number) => double_literal(*x),
        (ContractValue::Boolean(b), ColumnType::Boolean) => b.to_string(),
        (ContractValue::Text(t), ColumnType::Text) => quote_string(t),
        (ContractValue::Text(t), ColumnType::Timestamp) => {
            let time = parse_time(t).map_err(|e| Error::config(format!("contract, column `{column}`: {}", e.message)))?;
            timestamp_literal(time)
        }
        (value, kind) => {
            return Err(Error::config(format!(
                "contract, column `{column}`: `{}` is no {}",
                format_value(value),
                kind.sql_type()
            )));
        }
    })
}

/// A contract's value for a person.
pub(crate) fn format_value(value: &ContractValue) -> String {
    match value {
        ContractValue::Boolean(b) => b.to_string(),
        ContractValue::Integer(n) => n.to_string(),
        ContractValue::Number(x) => x.to_string(),
        ContractValue::Text(t) => t.clone(),
    }
}
