//! The two-sample Kolmogorov-Smirnov test. With ties the p-value is conservative, as in SciPy. Rows that depend on each other
//! make it far too sure: see [`judge`](crate::judge).

use crate::sample::sorted_finite;
use crate::special::kolmogorov_sf;
use crate::{AppliesTo, Statistic};

/// The p-value.
pub const KOLMOGOROV_SMIRNOV: Statistic = Statistic {
    name: "kolmogorov-smirnov",
    applies_to: AppliesTo::Numeric,
    threshold: 0.05,
    is_p_value: true,
    source: "SciPy `ks_2samp`, Evidently 0.7 `ks`",
};

/// Up to this many rows on either side the p-value is exact, as in SciPy.
const EXACT_ROWS: usize = 10_000;

/// The statistic D and its two-sided p-value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KolmogorovSmirnov {
    /// D: the greatest gap between the two distribution functions, 0 to 1.
    pub statistic: f64,
    /// The chance of a gap as great or greater without a difference.
    pub p_value: f64,
}

/// `None` where a side has no finite value.
pub fn kolmogorov_smirnov(reference: &[f64], current: &[f64]) -> Option<KolmogorovSmirnov> {
    let (a, b) = (sorted_finite(reference), sorted_finite(current));
    let (n, m) = (a.len(), b.len());
    if n == 0 || m == 0 {
        return None;
    }
    let gap = max_gap(&a, &b);
    let statistic = gap as f64 / (n as f64 * m as f64);
    let p_value = match n.max(m) <= EXACT_ROWS {
        true => exact_p_value(n, m, gap),
        false => kolmogorov_sf(statistic, (n as f64 * m as f64 / (n + m) as f64).round()),
    };
    Some(KolmogorovSmirnov { statistic, p_value })
}

/// n·m·D, a whole number.
fn max_gap(a: &[f64], b: &[f64]) -> u64 {
    let (mut i, mut j, mut gap) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        let here = a[i].min(b[j]);
        i += a[i..].iter().take_while(|v| **v == here).count();
        j += b[j..].iter().take_while(|v| **v == here).count();
        gap = gap.max((i as u64 * b.len() as u64).abs_diff(j as u64 * a.len() as u64));
    }
    gap
}

/// The share of all orders of the two samples whose greatest gap is at least `gap`: the chance that a lattice path from (0, 0) to
/// (n, m) leaves the band, from the chance at the last step of each point (Viehmann 2021, as in R's `psmirnov`). All terms are
/// positive, so tiny p-values keep their digits. Time n·m.
fn exact_p_value(n: usize, m: usize, gap: u64) -> f64 {
    if gap == 0 {
        return 1.0;
    }
    let leaves = |i: usize, j: usize| (i as u64 * m as u64).abs_diff(j as u64 * n as u64) >= gap;
    let mut row = vec![0.0; m + 1];
    for i in 0..=n {
        for j in 0..=m {
            let (up, left) = (row[j], if j > 0 { row[j - 1] } else { 0.0 });
            row[j] = match (leaves(i, j), i, j) {
                (true, ..) => 1.0,
                (_, 0, 0) => 0.0,
                _ => (i as f64 * up + j as f64 * left) / (i + j) as f64,
            };
        }
    }
    row[m].min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_samples_are_exact() {
        // SciPy: ks_2samp([1,1,2,2,3], [1,2,2,2,3,3,4]) and all apart.
        let apart: Vec<f64> = (0..40).map(f64::from).collect();
        let far: Vec<f64> = apart.iter().map(|v| v + 100.0).collect();
        let test = kolmogorov_smirnov(&apart, &far).unwrap();
        assert!((test.p_value / 1.860_340_365_603_627e-23 - 1.0).abs() < 1e-12, "{test:?}");
        let one = kolmogorov_smirnov(&[1.5], &[2.5]).unwrap();
        assert_eq!((one.statistic, one.p_value), (1.0, 1.0));
        assert_eq!(kolmogorov_smirnov(&apart, &[f64::NAN]), None);
    }

    #[test]
    fn many_rows_go_to_the_limit() {
        let a: Vec<f64> = (0..10_001).map(f64::from).collect();
        let b: Vec<f64> = a.iter().map(|v| v + 136.0).collect();
        let test = kolmogorov_smirnov(&a, &b).unwrap();
        let exact = exact_p_value(10_001, 10_001, (test.statistic * 10_001.0 * 10_001.0).round() as u64);
        assert!((test.p_value / exact - 1.0).abs() < 0.01, "{test:?} {exact}");
    }
}
