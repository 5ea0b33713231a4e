//! Names and values as SQL text, for queries that a stage puts together. Quoting is what keeps a column called `a"b` a column.

/// A name as an SQL identifier.
///
/// ```
/// assert_eq!(tidemill_core::sql::quote_identifier("a\"b"), r#""a""b""#);
/// ```
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names as SQL identifiers with commas between.
///
/// ```
/// assert_eq!(tidemill_core::sql::quote_identifiers(["id", "at"]), r#""id", "at""#);
/// ```
pub fn quote_identifiers(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| quote_identifier(name.as_ref())).collect();
    names.join(", ")
}

/// A text as an SQL string.
///
/// ```
/// assert_eq!(tidemill_core::sql::quote_string("it's"), "'it''s'");
/// ```
pub fn quote_string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A float as a DOUBLE, exactly. A literal with a point would be a DECIMAL first, and lose its last bits on the way.
///
/// ```
/// assert_eq!(tidemill_core::sql::double_literal(-2.5), "'-2.5e0'::DOUBLE");
/// ```
pub fn double_literal(value: f64) -> String {
    format!("'{value:e}'::DOUBLE")
}

/// A time as a TIMESTAMP, exact to the microsecond.
///
/// ```
/// let epoch = jiff::Timestamp::UNIX_EPOCH;
/// assert_eq!(tidemill_core::sql::timestamp_literal(epoch), "make_timestamp(0::BIGINT)");
/// ```
pub fn timestamp_literal(time: jiff::Timestamp) -> String {
    format!("make_timestamp({}::BIGINT)", time.as_microsecond())
}
