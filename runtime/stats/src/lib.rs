//! Statistics for drift and accuracy: pure functions over bins, shares and scores.
//!
//! - [`statistic`]: distances between two binned samples, one file each. They work on [`shares`](statistic::shares) of the same bins.
//! - [`drift`]: [`detect_drift`], which decides whether a window has drifted. The registry of methods is `tidemill_core::spec::DriftMethod`.
//! - [`profile`]: bins and profiles of columns, in SQL and in memory.
//! - [`metrics`]: accuracy of predictions: AUC, log loss, RMSE and others.
//!
//! Logarithms come from `libm`, not from the platform, so that a native build and a component give the same bytes. A value that the data
//! does not define is `None`, never a made-up 0.
//!
//! ```
//! use tidemill_stats::statistic::{jensen_shannon, shares};
//!
//! // How often each of three categories occurred, in the training data and in a window.
//! let reference = shares(&[50, 30, 20]).unwrap();
//! let current = shares(&[10, 30, 60]).unwrap();
//! let distance = jensen_shannon(&reference, &current);
//! assert!((0.4..0.5).contains(&distance), "{distance}");
//!
//! // A sample without rows has no shares, so that there is nothing to compare.
//! assert_eq!(shares(&[0, 0, 0]), None);
//! ```

pub mod drift;
pub mod metrics;
pub mod profile;
mod random;
mod special;
pub mod statistic;

pub use drift::{BlockCounts, DriftSettings, DriftVerdict, MIN_BLOCKS, detect_drift};
pub use metrics::*;
pub use random::SplitMix64;
