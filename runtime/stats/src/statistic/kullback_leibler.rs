//! The Kullback-Leibler divergence. It is not symmetric: the reference comes first.

/// The Kullback-Leibler divergence of the reference from the current sample, Σ p·ln(p / q), in nats: 0 for equal shares, without an upper
/// bound.
///
/// The definition is that of Evidently 0.7 (`kl_div`): on each side an empty bin counts as a share of 1e-4, or as a millionth of the
/// side's smallest share where that is no more than 1e-4; then both sides are scaled to sum to 1 again. The divergence grows with the
/// square of the difference.
///
/// ```
/// use tidemill_stats::statistic::kullback_leibler;
///
/// assert_eq!(kullback_leibler(&[0.4, 0.6], &[0.4, 0.6]), 0.0);
/// assert_ne!(kullback_leibler(&[0.9, 0.1], &[0.5, 0.5]), kullback_leibler(&[0.5, 0.5], &[0.9, 0.1]));
/// assert!(kullback_leibler(&[1.0, 0.0], &[0.0, 1.0]).is_finite());
/// ```
pub fn kullback_leibler(reference: &[f64], current: &[f64]) -> f64 {
    let (p, q) = (fill_empty(reference), fill_empty(current));
    p.iter().zip(&q).map(|(p, q)| p * libm::log(p / q)).sum::<f64>().max(0.0)
}

fn fill_empty(shares: &[f64]) -> Vec<f64> {
    let smallest = shares.iter().copied().filter(|share| *share > 0.0).fold(f64::INFINITY, f64::min);
    let fill = if smallest <= 1e-4 { smallest / 1e6 } else { 1e-4 };
    let filled: Vec<f64> = shares.iter().map(|share| if *share == 0.0 { fill } else { *share }).collect();
    let total: f64 = filled.iter().sum();
    filled.into_iter().map(|share| share / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_number() {
        let expected = 0.9 * 1.8f64.ln() + 0.1 * 0.2f64.ln();
        assert!((kullback_leibler(&[0.9, 0.1], &[0.5, 0.5]) - expected).abs() < 1e-14);
        assert_eq!(kullback_leibler(&[], &[]), 0.0);
    }
}
