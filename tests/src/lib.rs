//! The parts that the end-to-end tests share: a small project with synthetic data, untrained and trained, its prediction log, and the hosts
//! that serve the components of Spin.

pub mod documents;
pub mod prediction_log;
pub mod small;
pub mod spin;
pub mod trained;
