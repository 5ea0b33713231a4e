//! The profile of the good rows, and the assertions about the whole data file; both come from the same passes over the rows.

use jiff::Timestamp;
use tidemill_core::{
    Error, Finding, Result,
    record::{Profile, RowSpan},
    spec::{Assertion, ColumnType, SqlAssertion},
    sql::quote_identifier,
};
use tidemill_stats::profile::{ProfileQuery, SqlProfile};

use crate::{
    scan::{Scan, alias_columns},
    spans,
};

/// The good rows as a whole.
pub(crate) struct GoodRows {
    pub(crate) profile: Profile,
    /// The earliest event time.
    pub(crate) from: Timestamp,
    /// The latest event time.
    pub(crate) until: Timestamp,
    /// Where the rows lie between the two, if they leave gaps.
    pub(crate) spans: Vec<RowSpan>,
    /// Assertions about the whole data file that do not hold.
    pub(crate) failed: Vec<Finding>,
}

/// Profiles the good rows; there must be at least one.
pub(crate) fn profile_good_rows(scan: &Scan<'_>) -> Result<GoodRows> {
    let contract = &scan.dataset.contract;
    let assertions: Vec<(&SqlAssertion, &String)> = contract.sql.iter().filter_map(table_assertion).collect();
    let time = quote_identifier(&scan.dataset.time);
    let mut extra = vec![format!("epoch_us(min({time}))"), format!("epoch_us(max({time}))")];
    extra.extend(assertions.iter().map(|(_, sql)| format!("CAST(({sql}) AS BOOLEAN)")));
    let columns: Vec<(&str, ColumnType)> = contract.columns.iter().map(|(name, column)| (name.as_str(), column.kind)).collect();
    let SqlProfile { profile, extra } = SqlProfile::build(&columns, &extra, scan)?;
    let [from, until, held @ ..] = extra.as_slice() else {
        return Err(Error::bug("the profile's first pass left out the event times"));
    };
    let is_false = |held: &Option<String>| held.as_deref() == Some("false");
    let failed = assertions.into_iter().zip(held).filter(|(_, held)| is_false(held));
    Ok(GoodRows {
        from: parse_time(from)?,
        until: parse_time(until)?,
        spans: spans::find_spans(scan)?,
        failed: failed
            .map(|((assertion, sql), _)| failure(scan, assertion, sql, profile.rows))
            .collect(),
        profile,
    })
}

/// An assertion about the whole table, with its SQL.
fn table_assertion(assertion: &SqlAssertion) -> Option<(&SqlAssertion, &String)> {
    match &assertion.assertion {
        Assertion::Table(sql) => Some((assertion, sql)),
        Assertion::Row(_) => None,
    }
}

fn failure(scan: &Scan<'_>, assertion: &SqlAssertion, sql: &str, rows: u64) -> Finding {
    Finding {
        check: assertion.name.clone(),
        target: scan.dataset.name.clone(),
        severity: assertion.severity,
        message: format!("false for the data file: `{sql}`"),
        count: rows,
    }
}

fn parse_time(micros: &Option<String>) -> Result<Timestamp> {
    let micros = micros.as_ref().and_then(|text| text.parse().ok());
    time_from_micros(micros.ok_or_else(|| Error::bug("no good row has an event time"))?)
}

/// The event time of so many microseconds since 1970.
pub(crate) fn time_from_micros(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| Error::input(format!("event time {micros} µs is out of range")))
}

impl ProfileQuery for Scan<'_> {
    fn aggregate(&self, expressions: &[String]) -> Result<Vec<Option<String>>> {
        let select = format!("WITH {} SELECT {} FROM good", self.good_cte(), alias_columns(expressions));
        self.query_row(&select, expressions.len())
    }

    fn select(&self, expression: &str, clauses: &str) -> Result<Vec<Option<String>>> {
        self.query_texts(
            &format!("WITH {} SELECT {expression} AS c0 FROM good {clauses}", self.good_cte()),
            "c0",
        )
    }
}
