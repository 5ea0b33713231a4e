//! Growth of one tree: the leaf whose split has the greatest gain is split next. The larger child's histogram is the parent's minus the
//! smaller child's.

use tidemill_core::spec::Trainer;

use super::{
    Bins, Node, Tree,
    bins::{CODES, MISSING},
};

/// Minimum sum of second derivatives in a child.
const MIN_HESSIAN: f64 = 1e-3;

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    gradient: f64,
    hessian: f64,
    rows: u32,
}

impl Sums {
    fn plus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient + other.gradient,
            hessian: self.hessian + other.hessian,
            rows: self.rows + other.rows,
        }
    }
    fn minus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient - other.gradient,
            hessian: self.hessian - other.hessian,
            rows: self.rows - other.rows,
        }
    }
    fn gain(self, l2: f64) -> f64 {
        self.gradient * self.gradient / (self.hessian + l2)
    }
}

#[derive(Debug, Clone, Copy)]
struct Split {
    gain: f64,
    feature: usize,
    code: u8,
    missing_left: bool,
}

struct Leaf {
    node: usize,
    depth: u32,
    rows: Vec<u32>,
    sums: Sums,
    histogram: Vec<Sums>,
    split: Option<Split>,
}

/// A tree and the training rows of its leaves.
pub(super) struct GrownTree {
    pub(super) tree: Tree,
    pub(super) leaves: Vec<(f32, Vec<u32>)>,
}

/// Grows trees over the same bins; reuses its buffers.
pub(super) struct Grower<'a> {
    bins: &'a Bins,
    l2: f64,
    min_rows: u32,
    depth: u32,
    free_histograms: Vec<Vec<Sums>>,
    gathered: Vec<(f32, f32)>,
}

impl<'a> Grower<'a> {
    pub(super) fn new(bins: &'a Bins, trainer: &Trainer) -> Self {
        Self {
            bins,
            l2: trainer.l2,
            min_rows: trainer.minimum_leaf_rows.max(1),
            depth: trainer.depth,
            free_histograms: Vec::new(),
            gathered: Vec::new(),
        }
    }

    pub(super) fn grow(&mut self, derivatives: &[(f32, f32)], trainer: &Trainer, margin: usize) -> GrownTree {
        let rows: Vec<u32> = (0..derivatives.len() as u32).collect();
        let mut nodes = vec![empty_node()];
        let mut leaves = vec![self.leaf(0, 0, rows, derivatives, None)];
        while leaves.len() < trainer.leaves.max(1) as usize {
            let Some(index) = best_leaf(&leaves) else { break };
            let leaf = leaves.swap_remove(index);
            let (left, right) = self.split(leaf, &mut nodes, derivatives);
            leaves.extend([left, right]);
        }
        let mut ends = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            let value = (-leaf.sums.gradient / (leaf.sums.hessian + self.l2) * trainer.learning_rate) as f32;
            nodes[leaf.node].value = if value.is_finite() { value } else { 0.0 };
            ends.push((nodes[leaf.node].value, leaf.rows));
            self.free_histograms.push(leaf.histogram);
        }
        GrownTree {
            tree: Tree { margin, nodes },
            leaves: ends,
        }
    }

    fn split(&mut self, leaf: Leaf, nodes: &mut Vec<Node>, derivatives: &[(f32, f32)]) -> (Leaf, Leaf) {
        let Leaf {
            node,
            depth,
            rows,
            histogram,
            split,
            ..
        } = leaf;
        // `best_leaf` only returns leaves that have a split.
        let split = split.unwrap_or(Split {
            gain: 0.0,
            feature: 0,
            code: 0,
            missing_left: false,
        });
        let codes = self.bins.column(split.feature);
        let goes_left = |row: &u32| match codes[*row as usize] {
            MISSING => split.missing_left,
            code => code <= split.code,
        };
        let (left, right): (Vec<u32>, Vec<u32>) = rows.iter().partition(|row| goes_left(row));
        let first = nodes.len();
        nodes.extend([empty_node(), empty_node()]);
        nodes[node] = Node {
            feature: Some(split.feature),
            threshold: self.bins.thresholds(split.feature)[split.code as usize],
            missing_left: split.missing_left,
            left: first,
            right: first + 1,
            value: 0.0,
            gain: split.gain,
        };
        if left.len() <= right.len() {
            let left = self.leaf(first, depth + 1, left, derivatives, None);
            let rest = subtract(histogram, &left.histogram);
            (left, self.leaf(first + 1, depth + 1, right, derivatives, Some(rest)))
        } else {
            let right = self.leaf(first + 1, depth + 1, right, derivatives, None);
            let rest = subtract(histogram, &right.histogram);
            (self.leaf(first, depth + 1, left, derivatives, Some(rest)), right)
        }
    }

    fn leaf(&mut self, node: usize, depth: u32, rows: Vec<u32>, derivatives: &[(f32, f32)], histogram: Option<Vec<Sums>>) -> Leaf {
        let mut sums = Sums::default();
        for row in &rows {
            let (gradient, hessian) = derivatives[*row as usize];
            sums.gradient += f64::from(gradient);
            sums.hessian += f64::from(hessian);
        }
        sums.rows = rows.len() as u32;
        let histogram = histogram.unwrap_or_else(|| self.histogram(&rows, derivatives));
        let mut leaf = Leaf {
            node,
            depth,
            rows,
            sums,
            histogram,
            split: None,
        };
        if depth < self.depth && sums.rows >= 2 * self.min_rows {
            leaf.split = self.best_split(&leaf);
        }
        leaf
    }

    fn histogram(&mut self, rows: &[u32], derivatives: &[(f32, f32)]) -> Vec<Sums> {
        let mut histogram = self.free_histograms.pop().unwrap_or_default();
        histogram.clear();
        histogram.resize(self.bins.width() * CODES, Sums::default());
        self.gathered.clear();
        self.gathered.extend(rows.iter().map(|row| derivatives[*row as usize]));
        for (feature, sums) in histogram.chunks_exact_mut(CODES).enumerate() {
            let codes = self.bins.column(feature);
            for (row, (gradient, hessian)) in rows.iter().zip(&self.gathered) {
                let cell = &mut sums[codes[*row as usize] as usize];
                cell.gradient += f64::from(*gradient);
                cell.hessian += f64::from(*hessian);
                cell.rows += 1;
            }
        }
        histogram
    }

    fn best_split(&self, leaf: &Leaf) -> Option<Split> {
        let parent = leaf.sums.gain(self.l2);
        let mut best: Option<Split> = None;
        for (feature, cells) in leaf.histogram.chunks_exact(CODES).enumerate() {
            let missing = cells[MISSING as usize];
            let codes = self.bins.thresholds(feature).len();
            for missing_left in [false, true] {
                if missing_left && missing.rows == 0 {
                    continue;
                }
                let mut left = if missing_left { missing } else { Sums::default() };
                for (code, cell) in cells[..codes].iter().enumerate() {
                    left = left.plus(*cell);
                    let right_rows = leaf.sums.rows - left.rows;
                    if right_rows < self.min_rows {
                        break;
                    }
                    if left.rows < self.min_rows || cell.rows == 0 {
                        continue;
                    }
                    let right = leaf.sums.minus(left);
                    if left.hessian < MIN_HESSIAN || right.hessian < MIN_HESSIAN {
                        continue;
                    }
                    let gain = left.gain(self.l2) + right.gain(self.l2) - parent;
                    if gain > best.map_or(1e-9, |b| b.gain) {
                        // If the fit saw no missing value, a missing value follows the majority.
                        let missing_left = missing_left || missing.rows == 0 && left.rows > right_rows;
                        best = Some(Split {
                            gain,
                            feature,
                            code: code as u8,
                            missing_left,
                        });
                    }
                }
            }
        }
        best
    }
}

fn empty_node() -> Node {
    Node {
        feature: None,
        threshold: 0.0,
        missing_left: false,
        left: 0,
        right: 0,
        value: 0.0,
        gain: 0.0,
    }
}

/// The leaf with the greatest gain; ties go to the leaf that was created first.
fn best_leaf(leaves: &[Leaf]) -> Option<usize> {
    let with_gain = leaves
        .iter()
        .enumerate()
        .filter_map(|(index, leaf)| leaf.split.map(|s| (index, s.gain, leaf.node)));
    with_gain
        .max_by(|a, b| a.1.total_cmp(&b.1).then(b.2.cmp(&a.2)))
        .map(|(index, ..)| index)
}

fn subtract(mut from: Vec<Sums>, less: &[Sums]) -> Vec<Sums> {
    for (cell, less) in from.iter_mut().zip(less) {
        *cell = cell.minus(*less);
    }
    from
}
