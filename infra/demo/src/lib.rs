//! The parts of the demo, for its two programs and for the measurements.

pub mod bucket;
pub mod control;
pub mod lambda;
pub mod months;
pub mod swap;
