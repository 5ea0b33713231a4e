//! The pieces of the demo, which the end-to-end tests use too.

pub mod control;
pub mod lambda;
pub mod months;
pub mod server;
pub mod swap;
pub mod traffic;
