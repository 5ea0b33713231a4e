//! What the end-to-end tests share: a small project with data of its own making, untrained and trained, how it is asked, what it
//! logged, how its store is compared, the stages natively, and the hosts that serve what Spin runs.

pub mod http;
pub mod native;
pub mod prediction_log;
pub mod small;
pub mod spin;
pub mod trained;

pub use tidemill_demo::snapshot;
