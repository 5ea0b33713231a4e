//! SQL for reading one column as the contract's type. What cannot be read becomes null; NaN is a missing value, infinity a bad one.

use jiff::Timestamp;
use tidemill_core::{Error, Format, Result, spec::ColumnType, spec::Scalar, time::parse_time};

use crate::header::Source;

/// A name as SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL.
pub(crate) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// What stands in the file, null where nothing does; for text types it is the value itself.
pub(crate) fn raw(name: &str, source: Source, kind: ColumnType, format: Format) -> String {
    let column = if format == Format::Csv {
        format!("NULLIF({}, '')", quoted(name))
    } else {
        quoted(name)
    };
    match source {
        Source::Nothing => format!("CAST(NULL AS {})", kind.sql()),
        Source::Text if kind == ColumnType::Number => {
            format!("CASE WHEN NOT coalesce(isnan(TRY_CAST({column} AS DOUBLE)), false) THEN {column} END")
        }
        Source::Number => format!("CASE WHEN NOT isnan(CAST({column} AS DOUBLE)) THEN CAST({column} AS DOUBLE) END"),
        _ => column,
    }
}

/// The value in the contract's type, of the raw expression `raw`.
pub(crate) fn value(raw: &str, source: Source, kind: ColumnType) -> String {
    match (kind, source) {
        (_, Source::Nothing) => raw.to_owned(),
        (ColumnType::Text, Source::Text) => raw.to_owned(),
        (ColumnType::Text, _) => format!("CAST({raw} AS VARCHAR)"),
        (ColumnType::Integer, Source::Integer) => format!("TRY_CAST({raw} AS BIGINT)"),
        // DuckDB would round 1.5 to 2. A double tells small fractions, a decimal those of large numbers.
        (ColumnType::Integer, _) => format!(
            "CASE WHEN TRY_CAST({raw} AS DOUBLE) = trunc(TRY_CAST({raw} AS DOUBLE)) \
             AND TRY_CAST({raw} AS DECIMAL(38, 9)) = TRY_CAST({raw} AS BIGINT) THEN TRY_CAST({raw} AS BIGINT) END"
        ),
        (ColumnType::Number, _) => format!("CASE WHEN isfinite(TRY_CAST({raw} AS DOUBLE)) THEN TRY_CAST({raw} AS DOUBLE) END"),
        (ColumnType::Boolean, _) => format!("TRY_CAST({raw} AS BOOLEAN)"),
        (ColumnType::Timestamp, Source::Timestamp) => instant(raw),
        // Without a zone DuckDB reads the text, and passes over the offset.
        (ColumnType::Timestamp, _) => instant(&format!("TRY_CAST({raw} AS TIMESTAMPTZ)")),
    }
}

/// A time in the years that everything else can name. `epoch_us` reads every kind of time as UTC, whatever the session's zone is.
fn instant(time: &str) -> String {
    let micros = format!("epoch_us({time})");
    let [first, last] = [Timestamp::MIN, Timestamp::MAX].map(Timestamp::as_microsecond);
    format!("CASE WHEN {micros} BETWEEN {first} AND {last} THEN make_timestamp({micros}) END")
}

/// A contract's value as SQL, in the column's type.
pub(crate) fn literal(value: &Scalar, kind: ColumnType, column: &str) -> Result<String> {
    Ok(match (value, kind) {
        (Scalar::Integer(n), ColumnType::Integer) => n.to_string(),
        (Scalar::Integer(n), ColumnType::Number) => number(*n as f64),
        (Scalar::Number(x), ColumnType::Integer | ColumnType::Number) => number(*x),
        (Scalar::Boolean(b), ColumnType::Boolean) => b.to_string(),
        (Scalar::Text(t), ColumnType::Text) => text(t),
        (Scalar::Text(t), ColumnType::Timestamp) => {
            let time = parse_time(t).map_err(|e| Error::config(format!("contract, column `{column}`: {}", e.message)))?;
            format!("make_timestamp({}::BIGINT)", time.as_microsecond())
        }
        (value, kind) => {
            return Err(Error::config(format!(
                "contract, column `{column}`: `{}` is no {}",
                shown(value),
                kind.sql()
            )));
        }
    })
}

/// A float, exactly.
pub(crate) fn number(value: f64) -> String {
    format!("'{value:e}'::DOUBLE")
}

/// A contract's value for a person.
pub(crate) fn shown(value: &Scalar) -> String {
    match value {
        Scalar::Boolean(b) => b.to_string(),
        Scalar::Integer(n) => n.to_string(),
        Scalar::Number(x) => x.to_string(),
        Scalar::Text(t) => t.clone(),
    }
}
