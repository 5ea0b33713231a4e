//! Feature matrices: `f32`, row-major, with labels and weights beside them.

/// Row-major numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// Rows × `width`.
    pub values: Vec<f32>,
    /// Columns.
    pub width: usize,
}

impl Matrix {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }
    /// One row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }
}

/// A matrix with its labels and weights, one a row.
#[derive(Debug)]
pub struct Rows<'a> {
    /// The features.
    pub matrix: &'a Matrix,
    /// 0 or 1, the class's index, or the number.
    pub label: &'a [f64],
    /// The weight of each row.
    pub weight: Vec<f64>,
}

impl<'a> Rows<'a> {
    /// Rows whose weight is that of their class; 1 where `weights` has no such class.
    pub fn new(matrix: &'a Matrix, label: &'a [f64], weights: &[f64]) -> Self {
        let weight_of = |label: &f64| weights.get(*label as usize).copied().unwrap_or(1.0);
        Self {
            matrix,
            label,
            weight: label.iter().map(weight_of).collect(),
        }
    }
}
