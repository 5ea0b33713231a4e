//! Linear, logistic and softmax regression with an L2 penalty on the weights (not the intercept), by L-BFGS.
//!
//! Expects standardised columns without NaN, such as those from the transform of a linear trainer; NaN counts as 0, the mean.

use tidemill_core::spec::Trainer;

use crate::{Rows, loss::Loss};

/// A linear model: margins = weights · x + intercept.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// The loss, which turns margins into scores.
    pub loss: Loss,
    /// Weights by column, then by margin.
    pub weights: Vec<f32>,
    /// One intercept per margin.
    pub intercept: Vec<f32>,
    /// Number of iterations.
    pub iterations: u32,
}

impl Linear {
    /// Computes one row's margins.
    pub fn margins(&self, row: &[f32], margins: &mut [f32]) {
        let count = margins.len();
        margins.fill(0.0);
        for (x, weights) in row.iter().zip(self.weights.chunks_exact(count)) {
            for (margin, weight) in margins.iter_mut().zip(weights) {
                *margin += x * weight;
            }
        }
        for (margin, intercept) in margins.iter_mut().zip(&self.intercept) {
            *margin += intercept;
        }
    }

    /// Each column's share of the sum of absolute weights.
    pub fn importances(&self) -> Vec<f64> {
        let by_column = self.weights.chunks_exact(self.intercept.len());
        let sizes: Vec<f64> = by_column.map(|weights| weights.iter().map(|w| f64::from(w.abs())).sum()).collect();
        let total: f64 = sizes.iter().sum();
        sizes.iter().map(|size| if total > 0.0 { size / total } else { 0.0 }).collect()
    }
}

/// Number of pairs that L-BFGS remembers.
const MEMORY: usize = 10;

/// Trains in at most `trainer.rounds` iterations.
pub fn fit(trainer: &Trainer, loss: Loss, train: &Rows<'_>, progress: &dyn Fn(f64)) -> Linear {
    let (width, count) = (train.matrix.width, loss.margins());
    let base = loss.base(train.label, &train.weight);
    let mut point = vec![0.0; width * count];
    point.extend(&base);
    // A label far from 1 would make the steps far from 1: the squared loss is therefore minimised in units of the label's deviation.
    let scale = match loss {
        Loss::Squared => deviation(train.label, base[0]),
        _ => 1.0,
    };
    let objective = |point: &[f64], gradient: &mut [f64]| objective(trainer.l2, loss, train, scale, point, gradient);
    let iterations = minimise(&objective, &mut point, trainer.rounds, progress);
    let to_f32 = |values: &[f64]| values.iter().map(|v| *v as f32).collect();
    Linear {
        loss,
        weights: to_f32(&point[..width * count]),
        intercept: to_f32(&point[width * count..]),
        iterations,
    }
}

fn deviation(label: &[f64], mean: f64) -> f64 {
    let variance = label.iter().map(|l| (l - mean) * (l - mean)).sum::<f64>() / label.len() as f64;
    if variance > 0.0 { libm::sqrt(variance) } else { 1.0 }
}

/// Mean weighted loss plus l2 / 2n · |weights|², divided by `scale`².
fn objective(l2: f64, loss: Loss, train: &Rows<'_>, scale: f64, point: &[f64], gradient: &mut [f64]) -> f64 {
    let (width, count) = (train.matrix.width, loss.margins());
    let (weights, intercept) = point.split_at(width * count);
    gradient.fill(0.0);
    let (mut by_margin, mut hessians, mut margins) = (vec![0.0; count], vec![0.0; count], vec![0.0; count]);
    let mut total = 0.0;
    for (row, label) in train.label.iter().enumerate() {
        let cells = train.matrix.row(row);
        margins.copy_from_slice(intercept);
        for (x, weights) in cells.iter().zip(weights.chunks_exact(count)) {
            let x = if x.is_nan() { 0.0 } else { f64::from(*x) };
            for (margin, weight) in margins.iter_mut().zip(weights) {
                *margin += x * weight;
            }
        }
        total += train.weight[row] * loss.derive(&margins, *label, &mut by_margin, &mut hessians);
        for (x, gradient) in cells.iter().chain([&1.0]).zip(gradient.chunks_exact_mut(count)) {
            let x = if x.is_nan() { 0.0 } else { f64::from(*x) * train.weight[row] };
            for (cell, derivative) in gradient.iter_mut().zip(&by_margin) {
                *cell += x * derivative;
            }
        }
    }
    let unit = 1.0 / (train.weight.iter().sum::<f64>() * scale * scale);
    let penalty: f64 = weights.iter().map(|w| w * w).sum();
    for (index, cell) in gradient.iter_mut().enumerate() {
        *cell = (*cell + weights.get(index).map_or(0.0, |w| l2 * w)) * unit;
    }
    (total + 0.5 * l2 * penalty) * unit
}

/// L-BFGS with backtracking (Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 3.1). Returns the number of iterations.
fn minimise(objective: &dyn Fn(&[f64], &mut [f64]) -> f64, point: &mut Vec<f64>, most: u32, progress: &dyn Fn(f64)) -> u32 {
    let mut gradient = vec![0.0; point.len()];
    let mut value = objective(point, &mut gradient);
    let mut memory: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    for iteration in 0..most {
        progress(f64::from(iteration) / f64::from(most));
        if gradient.iter().all(|g| g.abs() < 1e-8) {
            return iteration;
        }
        let direction = direction(&gradient, &memory);
        let slope = dot(&direction, &gradient);
        let mut step = if memory.is_empty() {
            1.0 / libm::sqrt(dot(&gradient, &gradient)).max(1.0)
        } else {
            1.0
        };
        let mut next_gradient = vec![0.0; point.len()];
        let found = (0..30).find_map(|_| {
            let next: Vec<f64> = point.iter().zip(&direction).map(|(p, d)| p + step * d).collect();
            let next_value = objective(&next, &mut next_gradient);
            let enough = next_value <= value + 1e-4 * step * slope;
            step /= 2.0;
            enough.then_some((next, next_value))
        });
        let Some((next, next_value)) = found else { return iteration };
        let moved: Vec<f64> = next.iter().zip(point.iter()).map(|(n, p)| n - p).collect();
        let turned: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(n, g)| n - g).collect();
        let curvature = dot(&moved, &turned);
        if curvature > 1e-14 {
            memory.push((moved, turned, 1.0 / curvature));
            memory.drain(..memory.len().saturating_sub(MEMORY));
        }
        let gained = value - next_value;
        (*point, value, gradient) = (next, next_value, next_gradient);
        if gained < 1e-12 * value.abs() {
            return iteration + 1;
        }
    }
    most
}

fn direction(gradient: &[f64], memory: &[(Vec<f64>, Vec<f64>, f64)]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for (moved, turned, inverse) in memory.iter().rev() {
        let share = inverse * dot(moved, &direction);
        add(&mut direction, -share, turned);
        shares.push(share);
    }
    if let Some((moved, turned, _)) = memory.last() {
        let scale = dot(moved, turned) / dot(turned, turned);
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for ((moved, turned, inverse), share) in memory.iter().zip(shares.iter().rev()) {
        let back = inverse * dot(turned, &direction);
        add(&mut direction, share - back, moved);
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], times: f64, what: &[f64]) {
    for (cell, what) in to.iter_mut().zip(what) {
        *cell += times * what;
    }
}
