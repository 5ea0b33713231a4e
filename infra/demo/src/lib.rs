//! The demo on other targets: over a real S3 server, and through Lambda's functions on emulators.

pub mod bucket;
pub mod lambda;
