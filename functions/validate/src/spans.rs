//! Where the good rows lie in event time: windows close where rows are, and one row with a wrong date is not taken for the data's progress.

use tidemill_core::{Error, Result, record::RowSpan, sql::quote_identifier};

use crate::{profile::time_from_micros, scan::Scan};

/// Rows that lie no further apart are in one span, in microseconds.
const MAX_GAP: u64 = 3_600_000_000;
/// Maximum number of spans: the largest gaps separate them.
const MAX_SPANS: usize = 64;

/// The spans of the good rows; none if there is only one.
pub(crate) fn find_spans(scan: &Scan<'_>) -> Result<Vec<RowSpan>> {
    let time = quote_identifier(&scan.dataset.time);
    let sql = format!(
        "WITH {good}, \
         hours AS (SELECT min(epoch_us({time})) AS low, max(epoch_us({time})) AS high, count(*) AS n FROM good \
           WHERE {time} IS NOT NULL GROUP BY epoch_us({time}) // {MAX_GAP}), \
         gaps AS (SELECT low, low - lag(high) OVER (ORDER BY low) AS gap FROM hours), \
         cuts AS (SELECT low FROM gaps WHERE gap > {MAX_GAP} ORDER BY gap DESC, low LIMIT {cuts}), \
         marked AS (SELECT low, high, n, CASE WHEN low IN (SELECT low FROM cuts) THEN 1 ELSE 0 END AS cut FROM hours), \
         placed AS (SELECT low, high, n, sum(cut) OVER (ORDER BY low) AS span FROM marked) \
         SELECT CAST(min(low) AS VARCHAR) || ' ' || CAST(max(high) AS VARCHAR) || ' ' || CAST(sum(n) AS VARCHAR) AS c0 \
         FROM placed GROUP BY span ORDER BY span",
        good = scan.good_cte(),
        cuts = MAX_SPANS - 1,
    );
    let spans: Vec<RowSpan> = scan
        .query_texts(&sql, "c0")?
        .into_iter()
        .flatten()
        .map(|text| parse_span(&text))
        .collect::<Result<_>>()?;
    Ok(if spans.len() > 1 { spans } else { Vec::new() })
}

fn parse_span(text: &str) -> Result<RowSpan> {
    let unreadable = || Error::bug(format!("`{text}` is not a span of rows"));
    let mut numbers = text.split(' ').map(|number| number.parse::<i64>().map_err(|_| unreadable()));
    let mut next = || numbers.next().ok_or_else(unreadable)?;
    Ok(RowSpan {
        from: time_from_micros(next()?)?,
        until: time_from_micros(next()?)?,
        rows: next()?.unsigned_abs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read() {
        let span = parse_span("0 3600000000 12").unwrap();
        assert_eq!((span.until.as_second(), span.rows), (3600, 12));
        for bad in ["", "1 2", "1 x 2"] {
            assert!(parse_span(bad).unwrap_err().message.contains("not a span"), "{bad}");
        }
    }
}
