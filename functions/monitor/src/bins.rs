//! Columns as bins, in SQL. The numbering must be `featurize`'s: see the crate's description.

use jiff::Timestamp;
use tidemill_core::{
    Result,
    record::{ColumnProfile, ProfileKind},
    spec::ColumnType,
    time::Span,
};

use crate::read;

/// One column's bins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bins {
    /// Inner edges, ascending.
    Numbers { kind: ColumnType, edges: Vec<f64> },
    /// Categories; one more bin for others.
    Categories(Vec<String>),
}

impl Bins {
    pub(crate) fn of(profile: &ColumnProfile) -> Self {
        match &profile.detail {
            ProfileKind::Numeric { edges, .. } => Self::Numbers {
                kind: profile.kind,
                edges: edges.iter().copied().filter(|e| e.is_finite()).collect(),
            },
            ProfileKind::Categorical { top, .. } => Self::Categories(top.iter().map(|(value, _)| value.clone()).collect()),
        }
    }

    /// Bins with the one for missing values, which is last.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Numbers { edges, .. } => edges.len() + 2,
            Self::Categories(top) => top.len() + 2,
        }
    }

    pub(crate) fn ordered(&self) -> bool {
        matches!(self, Self::Numbers { .. })
    }

    /// Where a bin's number stands in a list of counts.
    pub(crate) fn place(&self, bin: i64) -> Option<usize> {
        usize::try_from(bin).ok().filter(|b| *b < self.count())
    }

    /// The bin of a column, as an expression.
    pub(crate) fn sql(&self, column: &str) -> String {
        let column = read::quote_identifier(column);
        match self {
            Self::Numbers { kind, edges } => {
                let value = match kind {
                    ColumnType::Timestamp => format!("CAST(epoch_us(TRY_CAST({column} AS TIMESTAMP)) AS DOUBLE) / 1e6"),
                    ColumnType::Boolean => format!("CAST(CAST(TRY_CAST({column} AS BOOLEAN) AS INTEGER) AS DOUBLE)"),
                    _ => format!("TRY_CAST({column} AS DOUBLE)"),
                };
                let steps: String = (0..)
                    .zip(edges)
                    .map(|(bin, edge)| format!(" WHEN {value} < {} THEN {bin}", read::double_literal(*edge)))
                    .collect();
                format!(
                    "CASE WHEN {value} IS NULL OR isnan({value}) THEN {}{steps} ELSE {} END",
                    edges.len() + 1,
                    edges.len()
                )
            }
            Self::Categories(top) => {
                let value = format!("CAST({column} AS VARCHAR)");
                let steps: String = (0..)
                    .zip(top)
                    .map(|(bin, category)| format!(" WHEN {value} = {} THEN {bin}", read::quote_string(category)))
                    .collect();
                format!("CASE WHEN {value} IS NULL THEN {}{steps} ELSE {} END", top.len() + 1, top.len())
            }
        }
    }
}

/// The number of the block that holds `_time`, as an expression.
pub(crate) fn block_sql(block: Span) -> Result<String> {
    // A span says its parts by its text alone, and starts where `start_of` says.
    let text = block.to_string();
    let (count, unit) = text.split_once(' ').unwrap_or(("1", "day"));
    let count = count.parse::<i64>().unwrap_or(1).max(1);
    if unit.starts_with("month") {
        return Ok(format!("((year(\"_time\") - 1970) * 12 + month(\"_time\") - 1) // {count}"));
    }
    let start = block.window_start(Timestamp::UNIX_EPOCH);
    let length = block.next_window(start).as_microsecond() - start.as_microsecond();
    Ok(format!(
        "CAST(floor((epoch_us(\"_time\") - ({})) / CAST({length} AS DOUBLE)) AS BIGINT)",
        start.as_microsecond()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_in_sql() {
        let numbers = Bins::Numbers {
            kind: ColumnType::Number,
            edges: vec![1.0, 2.5],
        };
        assert_eq!(
            (numbers.count(), numbers.place(-1), numbers.place(3), numbers.place(4)),
            (4, None, Some(3), None)
        );
        assert!(numbers.sql("a").ends_with("THEN 1 ELSE 2 END"), "{}", numbers.sql("a"));
        let categories = Bins::Categories(vec!["it's".into()]);
        assert!(categories.sql("b").contains("= 'it''s' THEN 0 ELSE 1 END"));
    }

    #[test]
    fn weeks_start_on_monday() {
        let sql = block_sql(Span::parse("1 week").unwrap()).unwrap();
        assert!(sql.contains("(-259200000000)") && sql.contains("604800000000"), "{sql}");
    }
}
