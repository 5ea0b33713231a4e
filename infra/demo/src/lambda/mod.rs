//! The pipeline on AWS Lambda, emulated: S3, queues and EventBridge by moto, Lambda's runtime API by cargo-lambda, and the programs that
//! are deployed, with a process for each function.

pub mod aws;
pub mod deployment;
pub mod emulators;

pub use deployment::Deployment;
pub use emulators::Emulators;
