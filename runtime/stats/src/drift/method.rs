//! The statistic of each [`DriftMethod`]. Names, thresholds and sources are in `tidemill_core::spec`; the compiler requires an arm here for
//! each method there.

use tidemill_core::spec::DriftMethod;

use crate::statistic::{
    chi_square, hellinger, jensen_shannon, kullback_leibler, l_infinity, l_infinity_ordered, psi, total_variation, wasserstein_ordered,
};

/// The distance between two lists of shares. `ordered` is [`BlockCounts::ordered`](super::BlockCounts::ordered).
pub(super) fn distance(method: DriftMethod, reference: &[f64], current: &[f64], ordered: bool) -> f64 {
    match method {
        DriftMethod::JensenShannon => jensen_shannon(reference, current),
        DriftMethod::Psi => psi(reference, current),
        DriftMethod::LInfinity if ordered => l_infinity_ordered(reference, current).max(missing_difference(reference, current)),
        DriftMethod::LInfinity => l_infinity(reference, current),
        DriftMethod::Hellinger => hellinger(reference, current),
        DriftMethod::KullbackLeibler => kullback_leibler(reference, current),
        DriftMethod::ChiSquare => chi_square(reference, current),
        DriftMethod::Wasserstein if ordered => wasserstein_ordered(reference, current).max(missing_difference(reference, current)),
        DriftMethod::Wasserstein => total_variation(reference, current),
    }
}

/// Whether the distance grows with the square of a difference of shares, so that a sampling error enters it squared.
pub(super) fn is_quadratic(method: DriftMethod) -> bool {
    match method {
        DriftMethod::Psi | DriftMethod::KullbackLeibler => true,
        DriftMethod::JensenShannon
        | DriftMethod::LInfinity
        | DriftMethod::Hellinger
        | DriftMethod::ChiSquare
        | DriftMethod::Wasserstein => false,
    }
}

/// Missing values have no place in the order of the bins, but their share can be the greatest difference.
fn missing_difference(reference: &[f64], current: &[f64]) -> f64 {
    reference.last().zip(current.last()).map_or(0.0, |(p, q)| (p - q).abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shares_have_no_distance_and_disjoint_ones_are_far_apart() {
        for method in DriftMethod::ALL {
            for ordered in [true, false] {
                let of = |current: &[f64]| distance(method, &[0.25, 0.5, 0.25], current, ordered);
                assert_eq!(of(&[0.25, 0.5, 0.25]), 0.0, "{}", method.name());
                let (near, far) = (of(&[0.25, 0.45, 0.3]), of(&[0.0, 0.0, 1.0]));
                assert!(0.0 < near && near < far && far.is_finite(), "{}: {near} {far}", method.name());
            }
        }
    }

    #[test]
    fn missing_values_count_in_ordered_bins() {
        for method in DriftMethod::ALL {
            let found = distance(method, &[0.5, 0.5, 0.0], &[0.4, 0.4, 0.2], true);
            assert!(found > 0.0, "{}", method.name());
        }
    }
}
