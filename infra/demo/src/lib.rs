//! The pieces of the demo, which the end-to-end tests use too.

pub mod bucket;
pub mod control;
pub mod lambda;
pub mod months;
pub mod outages;
pub mod proxy;
pub mod seaweedfs;
pub mod server;
pub mod snapshot;
pub mod swap;
pub mod traffic;
