//! The three losses that trees and linear models minimise, and the conversion of their margins to scores.
//!
//! A *margin* is the sum that the model computes (log-odds, one per class for softmax, or the number itself); a *score* is its output.

use tidemill_core::spec::Task;

/// A loss to minimise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Two classes, one margin.
    Logistic,
    /// The given number of classes, with one margin each.
    Softmax(usize),
    /// Half the squared error.
    Squared,
}

impl Loss {
    /// The loss of a task; `classes` matters for multi-class only.
    pub fn for_task(task: Task, classes: usize) -> Self {
        match task {
            Task::Binary => Self::Logistic,
            Task::Multiclass => Self::Softmax(classes),
            Task::Regression => Self::Squared,
        }
    }
    /// Number of margins per row.
    pub fn margins(self) -> usize {
        match self {
            Self::Softmax(classes) => classes,
            Self::Logistic | Self::Squared => 1,
        }
    }
    /// Number of scores per row: probabilities of all classes, or the number.
    pub fn scores(self) -> usize {
        match self {
            Self::Logistic => 2,
            Self::Softmax(classes) => classes,
            Self::Squared => 1,
        }
    }
    /// Returns one row's loss, and sets `gradients` and `hessians` (as long as `margins`) to the derivatives with respect to each margin.
    pub fn derive(self, margins: &[f64], label: f64, gradients: &mut [f64], hessians: &mut [f64]) -> f64 {
        match self {
            Self::Squared => {
                let error = margins[0] - label;
                (gradients[0], hessians[0]) = (error, 1.0);
                0.5 * error * error
            }
            Self::Logistic => {
                let probability = sigmoid(margins[0]);
                gradients[0] = probability - label;
                hessians[0] = probability * (1.0 - probability);
                // ln(1 + e^m) − y·m, without overflow.
                margins[0].max(0.0) + libm::log1p(libm::exp(-margins[0].abs())) - label * margins[0]
            }
            Self::Softmax(_) => {
                let greatest = margins.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let mut sum = 0.0;
                for (gradient, margin) in gradients.iter_mut().zip(margins) {
                    *gradient = libm::exp(margin - greatest);
                    sum += *gradient;
                }
                let class = label as usize;
                for (index, (gradient, hessian)) in gradients.iter_mut().zip(hessians.iter_mut()).enumerate() {
                    let probability = *gradient / sum;
                    *hessian = probability * (1.0 - probability);
                    *gradient = probability - f64::from(u8::from(index == class));
                }
                libm::log(sum) + greatest - margins[class]
            }
        }
    }
    /// Appends one row's scores, computed from its margins.
    pub fn score(self, margins: &[f32], scores: &mut Vec<f32>) {
        match self {
            Self::Squared => scores.push(margins[0]),
            Self::Logistic => {
                let probability = sigmoid(f64::from(margins[0])) as f32;
                scores.extend([1.0 - probability, probability]);
            }
            Self::Softmax(_) => {
                let greatest = margins.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let powers: Vec<f64> = margins.iter().map(|m| libm::exp(f64::from(m - greatest))).collect();
                let sum: f64 = powers.iter().sum();
                scores.extend(powers.iter().map(|power| (power / sum) as f32));
            }
        }
    }
    /// The constant margins with the least loss: log-odds, log shares, or the mean.
    pub fn base(self, label: &[f64], weight: &[f64]) -> Vec<f64> {
        let total: f64 = weight.iter().sum();
        let weighted: f64 = label.iter().zip(weight).map(|(l, w)| l * w).sum();
        match self {
            Self::Squared => vec![weighted / total],
            Self::Logistic => {
                let share = (weighted / total).clamp(1e-6, 1.0 - 1e-6);
                vec![libm::log(share / (1.0 - share))]
            }
            Self::Softmax(classes) => {
                let mut sums = vec![0.0; classes];
                for (label, weight) in label.iter().zip(weight) {
                    sums[*label as usize] += weight;
                }
                sums.iter().map(|sum| libm::log((sum / total).max(1e-6))).collect()
            }
        }
    }
}

/// 1 / (1 + e^−x).
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}
