//! Feature matrices: row-major `f32`, with labels and weights.

/// A row-major matrix.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// Rows × `width` values.
    pub values: Vec<f32>,
    /// Number of columns.
    pub width: usize,
}

impl Matrix {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }
    /// One row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }
}

/// A matrix with one label and one weight per row.
#[derive(Debug)]
pub struct Rows<'a> {
    /// The features.
    pub matrix: &'a Matrix,
    /// The label of each row: 0 or 1, the class's index, or the number.
    pub label: &'a [f64],
    /// The weight of each row.
    pub weight: Vec<f64>,
}

impl<'a> Rows<'a> {
    /// Rows with the weight of their class; 1 if `weights` has no such class.
    pub fn new(matrix: &'a Matrix, label: &'a [f64], weights: &[f64]) -> Self {
        let weight_of = |label: &f64| weights.get(*label as usize).copied().unwrap_or(1.0);
        Self {
            matrix,
            label,
            weight: label.iter().map(weight_of).collect(),
        }
    }
}
