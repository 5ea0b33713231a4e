//! What the end-to-end tests share: a small project with data of its own making, how its store is compared, and the stages natively.

pub mod native;
pub mod small;
pub mod snapshot;
