//! The flights' chain on AWS Lambda as far as a machine without AWS can play it: a real S3 interface whose bucket sends its events to
//! real queues (moto), Lambda's runtime interface (cargo-lambda), and the programs that are deployed, one process a function.

pub mod aws;
pub mod deployment;
pub mod emulators;

pub use deployment::Deployment;
pub use emulators::Emulators;
