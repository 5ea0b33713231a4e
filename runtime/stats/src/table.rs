//! The table of statistics: what each applies to, from when on it counts as drift, and whose definition it is. A threshold is a
//! convention of the named tool, not a calibrated test: for that see [`judge`](crate::judge).

use serde::Serialize;

/// What a statistic can be computed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppliesTo {
    /// Numbers.
    Numeric,
    /// Categories.
    Categorical,
    /// Both.
    Any,
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Statistic {
    /// As in reports; it names the binning where the result depends on it.
    pub name: &'static str,
    /// What it can be computed for.
    pub applies_to: AppliesTo,
    /// The default threshold, in the statistic's unit.
    pub threshold: f64,
    /// Whether the value is a p-value, so that drift lies *below* the threshold.
    pub is_p_value: bool,
    /// Whose definition it is.
    pub source: &'static str,
}

/// All of them.
pub const STATISTICS: [Statistic; 14] = [
    crate::PSI_DECILES,
    crate::PSI_POOLED,
    crate::JENSEN_SHANNON_NATURAL,
    crate::JENSEN_SHANNON_BINARY,
    crate::KOLMOGOROV_SMIRNOV,
    crate::WASSERSTEIN,
    crate::WASSERSTEIN_NORMED,
    crate::CHI_SQUARE_FIT,
    crate::CHI_SQUARE_TABLE,
    crate::L_INFINITY,
    crate::HELLINGER,
    crate::Z,
    crate::KULLBACK_LEIBLER,
    crate::blocks::BLOCKS,
];

/// The statistic that Evidently 0.7 picks by itself: by rows of the reference and distinct values in both samples together.
pub fn evidently_default(numeric: bool, reference_rows: usize, distinct: usize) -> &'static str {
    match (reference_rows > 1000, distinct, numeric) {
        (true, 6.., true) => "wasserstein",
        (true, ..) => "jensenshannon",
        (false, 0..=2, _) => "z",
        (false, 6.., true) => "ks",
        (false, ..) => "chisquare",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = STATISTICS.iter().map(|s| s.name).collect();
        assert_eq!(names.len(), STATISTICS.len());
    }

    #[test]
    fn the_default_follows_rows_and_values() {
        assert_eq!(evidently_default(true, 1001, 6), "wasserstein");
        assert_eq!(evidently_default(true, 1001, 5), "jensenshannon");
        assert_eq!(evidently_default(true, 1000, 6), "ks");
        assert_eq!(evidently_default(false, 1000, 9), "chisquare");
        assert_eq!(evidently_default(false, 1000, 2), "z");
    }
}
