//! Statistics for drift and accuracy: pure functions over samples, counts and scores. Logarithms and the like come from `libm`,
//! not from the platform, so that a native build and a component give the same bytes. What the data do not define is `None`.

mod bins;
mod blocks;
mod chi_square;
mod hellinger;
mod jensen_shannon;
mod kolmogorov_smirnov;
mod kullback_leibler;
mod l_infinity;
pub mod metrics;
mod psi;
mod random;
mod sample;
mod special;
mod table;
mod wasserstein;
mod z;

pub use bins::{Bins, category_counts, value_counts};
pub use blocks::{BlockCounts, Distance, DriftSettings, DriftVerdict, MIN_BLOCKS, detect_drift};
pub use chi_square::{CHI_SQUARE_FIT, CHI_SQUARE_TABLE, ChiSquare, chi_square_contingency, chi_square_fit};
pub use hellinger::{HELLINGER, hellinger, hellinger_doane, hellinger_sturges};
pub use jensen_shannon::{
    JENSEN_SHANNON_BINARY, JENSEN_SHANNON_NATURAL, jensen_shannon_binary, jensen_shannon_doane, jensen_shannon_natural,
    jensen_shannon_pooled,
};
pub use kolmogorov_smirnov::{KOLMOGOROV_SMIRNOV, KolmogorovSmirnov, kolmogorov_smirnov};
pub use kullback_leibler::{KULLBACK_LEIBLER, kullback_leibler, kullback_leibler_pooled};
pub use l_infinity::{L_INFINITY, l_infinity, l_infinity_ordered};
pub use metrics::*;
pub use psi::{PSI_DECILES, PSI_POOLED, psi, psi_deciles, psi_pooled};
pub use random::SplitMix64;
pub use sample::{deviation, finite_values, mean_of, quantile};
pub use table::{AppliesTo, STATISTICS, Statistic, evidently_default};
pub use wasserstein::{WASSERSTEIN, WASSERSTEIN_NORMED, wasserstein, wasserstein_normed};
pub use z::{Z, two_proportion_z_test};
