//! Columns divided into at most 255 bins of about equal numbers of rows. The last code, 255, is for missing values.

use crate::Matrix;

/// The code of a missing value.
pub(super) const MISSING: u8 = 255;
/// Number of codes per column, including `MISSING`.
pub(super) const CODES: usize = 256;

/// A matrix as bin codes, column by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    rows: usize,
    codes: Vec<u8>,
    thresholds: Vec<Vec<f32>>,
}

impl Bins {
    /// Divides the columns at the quantiles of these rows.
    pub fn from_matrix(matrix: &Matrix) -> Self {
        let rows = matrix.rows();
        let mut codes = vec![MISSING; rows * matrix.width];
        let mut thresholds = Vec::with_capacity(matrix.width);
        let mut column = vec![0f32; rows];
        for feature in 0..matrix.width {
            for (row, cell) in column.iter_mut().enumerate() {
                *cell = matrix.values[row * matrix.width + feature];
            }
            let cuts = cut_points(&column);
            for (code, value) in codes[feature * rows..][..rows].iter_mut().zip(&column) {
                if !value.is_nan() {
                    *code = cuts.partition_point(|cut| cut < value) as u8;
                }
            }
            thresholds.push(cuts);
        }
        Self { rows, codes, thresholds }
    }
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Number of columns.
    pub fn width(&self) -> usize {
        self.thresholds.len()
    }
    /// A column's codes: value x has the code of the first threshold with `x <= threshold`.
    pub fn column(&self, feature: usize) -> &[u8] {
        &self.codes[feature * self.rows..][..self.rows]
    }
    /// A column's thresholds, ascending, at most 254.
    pub fn thresholds(&self, feature: usize) -> &[f32] {
        &self.thresholds[feature]
    }
}

/// Midpoints between neighbouring values: all of them if there are few, else those nearest to equal shares of the rows.
fn cut_points(column: &[f32]) -> Vec<f32> {
    let mut sorted: Vec<f32> = column.iter().copied().filter(|v| !v.is_nan()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let mut distinct: Vec<(f32, usize)> = Vec::new();
    for value in sorted {
        match distinct.last_mut() {
            Some((last, count)) if *last == value => *count += 1,
            _ => distinct.push((value, 1)),
        }
    }
    let max_cuts = CODES - 2;
    if distinct.len() <= max_cuts + 1 {
        return distinct.windows(2).map(|pair| midpoint(pair[0].0, pair[1].0)).collect();
    }
    let total: usize = distinct.iter().map(|(_, count)| count).sum();
    let mut cuts = Vec::with_capacity(max_cuts);
    let mut seen = 0;
    for pair in distinct.windows(2) {
        seen += pair[0].1;
        if seen * (max_cuts + 1) >= total * (cuts.len() + 1) && cuts.len() < max_cuts {
            cuts.push(midpoint(pair[0].0, pair[1].0));
        }
    }
    cuts
}

/// A number `m` with `low <= m < high`.
fn midpoint(low: f32, high: f32) -> f32 {
    let middle = ((f64::from(low) + f64::from(high)) / 2.0) as f32;
    if middle < high && middle >= low { middle } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_f32_stay_apart() {
        let (low, high) = (1.0f32, 1.0f32.next_up());
        let cut = midpoint(low, high);
        assert!(low <= cut && cut < high);
        assert_eq!(midpoint(f32::NEG_INFINITY, f32::INFINITY), f32::NEG_INFINITY);
    }

    #[test]
    fn codes_follow_thresholds_and_nan_is_missing() {
        let values: Vec<f32> = (0..2000)
            .map(|i| if i % 100 == 0 { f32::NAN } else { (i * 7 % 1999) as f32 })
            .collect();
        let bins = Bins::from_matrix(&Matrix {
            values: values.clone(),
            width: 1,
        });
        let cuts = bins.thresholds(0);
        assert!(cuts.len() <= 254 && cuts.len() > 200, "{}", cuts.len());
        for (value, code) in values.iter().zip(bins.column(0)) {
            match value.is_nan() {
                true => assert_eq!(*code, MISSING),
                false => assert!(cuts.get(*code as usize).is_none_or(|c| value <= c) && (*code == 0 || *value > cuts[*code as usize - 1])),
            }
        }
        assert!(
            Bins::from_matrix(&Matrix {
                values: vec![f32::NAN; 3],
                width: 1
            })
            .thresholds(0)
            .is_empty()
        );
    }
}
