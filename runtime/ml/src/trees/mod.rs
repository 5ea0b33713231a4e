//! Gradient-boosted trees over histograms, grown leaf by leaf as in LightGBM (Ke et al. 2017), with a learned direction for missing values.
//!
//! One thread and a fixed order of sums: equal rows give equal bits, natively and in a component. Nothing is random.

mod bins;
mod grow;

pub use bins::Bins;
use tidemill_core::spec::Trainer;

use crate::{Matrix, Rows, loss::Loss};

/// A node: a split if `feature` is set, else a leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The column that the split tests.
    pub feature: Option<usize>,
    /// `x <= threshold` goes to `left`.
    pub threshold: f32,
    /// Whether a missing value goes left.
    pub missing_left: bool,
    /// Index of the left child.
    pub left: usize,
    /// Index of the right child.
    pub right: usize,
    /// A leaf's margin, with the step size applied.
    pub value: f32,
    /// A split's gain.
    pub gain: f64,
}

/// One tree; node 0 is its root.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// Index of the margin that the tree adds to.
    pub margin: usize,
    /// All nodes, children after their parent.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// Returns the value of the leaf that a row reaches.
    pub fn value(&self, row: &[f32]) -> f32 {
        let mut node = &self.nodes[0];
        while let Some(feature) = node.feature {
            let x = row[feature];
            let left = if x.is_nan() { node.missing_left } else { x <= node.threshold };
            node = &self.nodes[if left { node.left } else { node.right }];
        }
        node.value
    }
}

/// A boosted model.
#[derive(Debug, Clone, PartialEq)]
pub struct Trees {
    /// The loss, which turns margins into scores.
    pub loss: Loss,
    /// The initial margins of every row.
    pub base: Vec<f32>,
    /// Trees by round, then by margin.
    pub trees: Vec<Tree>,
}

impl Trees {
    /// The trees in groups of about 256 leaves: each group is one node of the ONNX file and is summed separately.
    pub fn groups(&self) -> impl Iterator<Item = &[Tree]> {
        let most = self.trees.iter().map(|tree| tree.nodes.len().div_ceil(2)).max().unwrap_or(1);
        self.trees.chunks((256 / most).max(1))
    }

    /// Computes one row's margins in `f32`, summed in the order of the ONNX file: the trees of a group, the groups, then the base.
    pub fn margins(&self, row: &[f32], margins: &mut [f32]) {
        let mut sums = vec![0.0; margins.len()];
        margins.fill(0.0);
        for group in self.groups() {
            sums.fill(0.0);
            for tree in group {
                sums[tree.margin] += tree.value(row);
            }
            for (margin, sum) in margins.iter_mut().zip(&sums) {
                *margin += sum;
            }
        }
        for (margin, base) in margins.iter_mut().zip(&self.base) {
            *margin += base;
        }
    }

    /// Each column's share of the total gain.
    pub fn importances(&self, width: usize) -> Vec<f64> {
        let mut gains = vec![0.0; width];
        for node in self.trees.iter().flat_map(|tree| &tree.nodes) {
            if let Some(feature) = node.feature {
                gains[feature] += node.gain;
            }
        }
        let total: f64 = gains.iter().sum();
        gains.iter().map(|gain| if total > 0.0 { gain / total } else { 0.0 }).collect()
    }
}

/// Trains; `progress` receives the share of completed rounds. Without validation rows, or with `early_stopping = 0`, all rounds are kept.
pub fn fit(trainer: &Trainer, loss: Loss, train: &Rows<'_>, stop: &Rows<'_>, progress: &dyn Fn(f64)) -> Trees {
    let bins = Bins::from_matrix(train.matrix);
    let base = loss.base(train.label, &train.weight);
    let mut model = Trees {
        loss,
        base: base.iter().map(|b| *b as f32).collect(),
        trees: Vec::new(),
    };
    let mut boosting = Boosting {
        trainer,
        loss,
        bins: &bins,
        train,
        margins: Margins::new(&base, train),
        stop: Margins::new(&base, stop),
    };
    let mut grower = grow::Grower::new(&bins, trainer);
    let patience = if stop.label.is_empty() { 0 } else { trainer.early_stopping };
    let (mut best_loss, mut best_round) = (f64::INFINITY, 0);
    for round in 1..=trainer.rounds.max(1) {
        let trees = boosting.round(&mut grower, stop.matrix);
        model.trees.extend(trees);
        let stop_loss = boosting.stop.loss(loss, stop);
        if stop_loss < best_loss {
            (best_loss, best_round) = (stop_loss, round);
        }
        progress(f64::from(round) / f64::from(trainer.rounds.max(1)));
        if patience > 0 && round - best_round >= patience {
            break;
        }
    }
    if patience > 0 {
        model.trees.truncate(best_round.max(1) as usize * loss.margins());
    }
    model
}

struct Boosting<'a> {
    trainer: &'a Trainer,
    loss: Loss,
    bins: &'a Bins,
    train: &'a Rows<'a>,
    margins: Margins,
    stop: Margins,
}

impl Boosting<'_> {
    fn round(&mut self, grower: &mut grow::Grower<'_>, stop: &Matrix) -> Vec<Tree> {
        let count = self.loss.margins();
        let rows = self.train.label.len();
        let mut derivatives = vec![vec![(0f32, 0f32); rows]; count];
        let (mut gradients, mut hessians) = (vec![0.0; count], vec![0.0; count]);
        for row in 0..rows {
            let weight = self.train.weight[row];
            self.loss
                .derive(self.margins.row(row), self.train.label[row], &mut gradients, &mut hessians);
            for ((cells, gradient), hessian) in derivatives.iter_mut().zip(&gradients).zip(&hessians) {
                cells[row] = ((gradient * weight) as f32, (hessian * weight) as f32);
            }
        }
        debug_assert_eq!(self.bins.rows(), rows);
        let mut trees = Vec::with_capacity(count);
        for (margin, derivatives) in derivatives.iter().enumerate() {
            let grown = grower.grow(derivatives, self.trainer, margin);
            for (value, rows) in &grown.leaves {
                for row in rows {
                    self.margins.values[*row as usize * count + margin] += f64::from(*value);
                }
            }
            for row in 0..stop.rows() {
                self.stop.values[row * count + margin] += f64::from(grown.tree.value(stop.row(row)));
            }
            trees.push(grown.tree);
        }
        trees
    }
}

/// The current margins of all rows.
struct Margins {
    count: usize,
    values: Vec<f64>,
}

impl Margins {
    fn new(base: &[f64], rows: &Rows<'_>) -> Self {
        Self {
            count: base.len(),
            values: base.repeat(rows.label.len()),
        }
    }
    fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.count..][..self.count]
    }
    fn loss(&self, loss: Loss, rows: &Rows<'_>) -> f64 {
        let (mut gradients, mut hessians) = (vec![0.0; self.count], vec![0.0; self.count]);
        let one = |(row, label): (usize, &f64)| rows.weight[row] * loss.derive(self.row(row), *label, &mut gradients, &mut hessians);
        rows.label.iter().enumerate().map(one).sum()
    }
}
