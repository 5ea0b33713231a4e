//! What the end-to-end tests share: a small project with data of its own making, untrained and trained, what it logged, the stages
//! natively, and the hosts that serve what Spin runs.

pub mod documents;
pub mod native;
pub mod prediction_log;
pub mod small;
pub mod spin;
pub mod trained;
