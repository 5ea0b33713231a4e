//! The pieces of the demo, which the measurements use too.

pub mod bucket;
pub mod control;
pub mod lambda;
pub mod months;
pub mod swap;
