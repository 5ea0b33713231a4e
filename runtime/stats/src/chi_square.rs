//! Chi-square tests on counts by category. Goodness of fit takes the reference as the truth (Evidently); the contingency test takes
//! both sides as samples, with Yates's correction at one degree of freedom (NannyML, through SciPy).

use crate::special::chi_square_sf;
use crate::{AppliesTo, Statistic};

/// The p-value of the goodness of fit.
pub const CHI_SQUARE_FIT: Statistic = Statistic {
    name: "chi-square-fit",
    applies_to: AppliesTo::Any,
    threshold: 0.05,
    is_p_value: true,
    source: "SciPy `chisquare`, Evidently 0.7 `chisquare`",
};

/// The p-value of the contingency test.
pub const CHI_SQUARE_TABLE: Statistic = Statistic {
    name: "chi-square-table",
    applies_to: AppliesTo::Categorical,
    threshold: 0.05,
    is_p_value: true,
    source: "SciPy `chi2_contingency`, NannyML 0.13 `chi2`",
};

/// The statistic, its degrees of freedom and p-value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquare {
    /// Infinite where the reference has none of a category that occurs now.
    pub statistic: f64,
    /// Degrees of freedom.
    pub degrees_of_freedom: usize,
    /// The chance of a statistic as great or greater without a difference.
    pub p_value: f64,
}

/// Expected counts are the reference's shares of the current rows. A category that the reference lacks gives p = 0.
/// `None` where a side has no rows or there is one category alone.
pub fn chi_square_fit(reference: &[u64], current: &[u64]) -> Option<ChiSquare> {
    let (n, m) = (reference.iter().sum::<u64>(), current.iter().sum::<u64>());
    let seen: Vec<(u64, u64)> = reference
        .iter()
        .copied()
        .zip(current.iter().copied())
        .filter(|(r, c)| r + c > 0)
        .collect();
    if n == 0 || m == 0 || seen.len() < 2 {
        return None;
    }
    let scale = m as f64 / n as f64;
    let term = |(r, c): &(u64, u64)| {
        let expected = *r as f64 * scale;
        (*c as f64 - expected) * (*c as f64 - expected) / expected
    };
    let statistic: f64 = seen.iter().map(term).sum();
    let freedom = seen.len() - 1;
    Some(ChiSquare {
        statistic,
        degrees_of_freedom: freedom,
        p_value: chi_square_sf(statistic, freedom as f64),
    })
}

/// `None` where a side has no rows; statistic 0 and p = 1 with one category alone.
pub fn chi_square_contingency(reference: &[u64], current: &[u64]) -> Option<ChiSquare> {
    let (n, m) = (reference.iter().sum::<u64>(), current.iter().sum::<u64>());
    if n == 0 || m == 0 {
        return None;
    }
    let seen: Vec<(u64, u64)> = reference
        .iter()
        .copied()
        .zip(current.iter().copied())
        .filter(|(r, c)| r + c > 0)
        .collect();
    let freedom = seen.len() - 1;
    if freedom == 0 {
        return Some(ChiSquare {
            statistic: 0.0,
            degrees_of_freedom: freedom,
            p_value: 1.0,
        });
    }
    let term = |observed: u64, side: u64, column: u64| {
        let expected = side as f64 * column as f64 / (n + m) as f64;
        let distance = (observed as f64 - expected).abs();
        let distance = if freedom == 1 { distance - distance.min(0.5) } else { distance };
        distance * distance / expected
    };
    let statistic: f64 = seen.iter().map(|(r, c)| term(*r, n, r + c) + term(*c, m, r + c)).sum();
    Some(ChiSquare {
        statistic,
        degrees_of_freedom: freedom,
        p_value: chi_square_sf(statistic, freedom as f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unseen_categories() {
        let fit = chi_square_fit(&[10, 0], &[5, 5]).unwrap();
        assert_eq!((fit.statistic, fit.p_value), (f64::INFINITY, 0.0));
        assert!((chi_square_contingency(&[10, 0], &[0, 10]).unwrap().statistic - 16.2).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_test() {
        assert_eq!(chi_square_fit(&[10], &[7]), None);
        assert_eq!(chi_square_contingency(&[10], &[7]).unwrap().p_value, 1.0);
        assert_eq!((chi_square_fit(&[], &[]), chi_square_contingency(&[0], &[7])), (None, None));
    }
}
