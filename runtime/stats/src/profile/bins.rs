//! The bins of a profiled column, numbered the same way in SQL and in memory.

use tidemill_core::{
    record::{ColumnProfile, ProfileKind},
    spec::ColumnType,
    sql::{double_literal, quote_identifier, quote_string},
};

use super::sql::value_sql;

/// The bins of one column, numbered from 0. The bin of a number is how many edges are less than or equal to it. The bin of a category is
/// its position in the profile's `top`, with one more bin for all other categories. The last bin counts missing values.
///
/// ```
/// use tidemill_core::spec::ColumnType;
/// use tidemill_stats::profile::Bins;
///
/// let bins = Bins::Numbers { kind: ColumnType::Number, edges: vec![1.0, 2.5] };
/// assert_eq!(bins.count(), 4);
/// assert_eq!([0.5, 1.0, 9.0, f64::NAN].map(|x| bins.number_bin(x)), [0, 1, 2, 3]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Bins {
    /// Bins of an ordered column.
    Numbers {
        /// The column's type, which determines how SQL reads it as a number.
        kind: ColumnType,
        /// Inner edges, ascending and finite.
        edges: Vec<f64>,
    },
    /// The categories that have a bin of their own.
    Categories(Vec<String>),
}

impl Bins {
    /// The bins that a profile defines.
    pub fn from_profile(profile: &ColumnProfile) -> Self {
        match &profile.detail {
            ProfileKind::Numeric { edges, .. } => Self::Numbers {
                kind: profile.kind,
                edges: edges.iter().copied().filter(|edge| edge.is_finite()).collect(),
            },
            ProfileKind::Categorical { top, .. } => Self::Categories(top.iter().map(|(value, _)| value.clone()).collect()),
        }
    }

    /// Number of bins, including the last one for missing values.
    pub fn count(&self) -> usize {
        match self {
            Self::Numbers { edges, .. } => edges.len() + 2,
            Self::Categories(top) => top.len() + 2,
        }
    }

    /// The number of the bin for missing values.
    pub fn missing_bin(&self) -> usize {
        self.count() - 1
    }

    /// The number of the bin for categories without a bin of their own; for numbers, the highest bin.
    pub fn other_bin(&self) -> usize {
        self.count() - 2
    }

    /// Whether the bins, except the last, are in order of value.
    pub fn is_ordered(&self) -> bool {
        matches!(self, Self::Numbers { .. })
    }

    /// A bin's number as an index, if the bin exists.
    pub fn index_of(&self, bin: i64) -> Option<usize> {
        usize::try_from(bin).ok().filter(|bin| *bin < self.count())
    }

    /// The bin of a number; NaN is missing. Among categories, a number is another category.
    pub fn number_bin(&self, value: f64) -> usize {
        match self {
            _ if value.is_nan() => self.missing_bin(),
            Self::Numbers { edges, .. } => edges.partition_point(|edge| *edge <= value),
            Self::Categories(_) => self.other_bin(),
        }
    }

    /// The categories with their bins; empty for numbers. Any other category has [`other_bin`](Self::other_bin).
    pub fn category_bins(&self) -> impl Iterator<Item = (&str, usize)> {
        let top: &[String] = match self {
            Self::Numbers { .. } => &[],
            Self::Categories(top) => top,
        };
        top.iter().enumerate().map(|(bin, category)| (category.as_str(), bin))
    }

    /// An SQL expression for the bin of a column's value.
    pub fn bin_sql(&self, column: &str) -> String {
        let (missing, steps): (String, String) = match self {
            Self::Numbers { kind, edges } => {
                let value = value_sql(column, *kind);
                let step = |(bin, edge): (usize, &f64)| format!(" WHEN {value} < {} THEN {bin}", double_literal(*edge));
                (
                    format!("{value} IS NULL OR isnan({value})"),
                    edges.iter().enumerate().map(step).collect(),
                )
            }
            Self::Categories(_) => {
                let value = format!("CAST({} AS VARCHAR)", quote_identifier(column));
                let step = |(category, bin): (&str, usize)| format!(" WHEN {value} = {} THEN {bin}", quote_string(category));
                (format!("{value} IS NULL"), self.category_bins().map(step).collect())
            }
        };
        format!(
            "CASE WHEN {missing} THEN {}{steps} ELSE {} END",
            self.missing_bin(),
            self.other_bin()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_same_bins_in_sql_and_in_memory() {
        let bins = Bins::Numbers {
            kind: ColumnType::Number,
            edges: vec![1.0, 2.5],
        };
        assert_eq!(
            (bins.count(), bins.index_of(-1), bins.index_of(3), bins.index_of(4)),
            (4, None, Some(3), None)
        );
        assert_eq!(
            [-9.0, 1.0, 2.5, f64::INFINITY, f64::NAN].map(|x| bins.number_bin(x)),
            [0, 1, 2, 2, 3]
        );
        let value = "TRY_CAST(\"a\" AS DOUBLE)";
        assert_eq!(
            bins.bin_sql("a"),
            format!(
                "CASE WHEN {value} IS NULL OR isnan({value}) THEN 3 WHEN {value} < '1e0'::DOUBLE THEN 0 \
                 WHEN {value} < '2.5e0'::DOUBLE THEN 1 ELSE 2 END"
            )
        );
    }

    #[test]
    fn categories_are_quoted() {
        let bins = Bins::Categories(vec!["it's".into()]);
        assert!(!bins.is_ordered() && bins.count() == 3);
        assert_eq!(bins.category_bins().collect::<Vec<_>>(), [("it's", 0)]);
        assert_eq!(
            bins.bin_sql("b"),
            "CASE WHEN CAST(\"b\" AS VARCHAR) IS NULL THEN 2 WHEN CAST(\"b\" AS VARCHAR) = 'it''s' THEN 0 ELSE 1 END"
        );
    }
}
